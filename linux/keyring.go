// SPDX-License-Identifier: Apache-2.0

package linux

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
)

// keyring is the session keyring of a container's processes. Without one of its
// own a container could read the keys of the session that started containerd
// (keyrings(7)).
type keyring struct {
	name string // "" to keep the shim's
	perm uint32 // init only: what is set on the new keyring
}

// Permissions of a keyring (keyctl_setperm(3)). A new one has sessionPerm
// (security/keys/process_keys.c). Finding it by its name, which an exec does,
// takes the permission to search it, which runc adds alike.
const (
	sessionPerm = 0x3f130000 // the possessor all; the user view, read, link
	searchUser  = 0x00080000
	searchOther = 0x00000008 // in a user namespace the owner is another user
)

// newKeyring is the session keyring for a container's processes.
func newKeyring(id string, keep, init bool, spec *specs.Spec) keyring {
	if keep {
		return keyring{}
	}
	k := keyring{name: "_ses." + id}
	switch {
	case !init: // it joins init's, which has its permissions
	case ownNamespace(spec, specs.UserNamespace):
		k.perm = sessionPerm | searchOther
	default:
		k.perm = sessionPerm | searchUser
	}
	return k
}

// join makes the keyring of that name, or joins it where it is there and may be
// searched. A kernel without keyrings, or a quota, is no error, as in runc.
func (k keyring) join(p *fork.Program) {
	if k.name == "" {
		return
	}
	serial := p.NewReg()
	p.Add(fork.Step{For: "join session keyring", NR: unix.SYS_KEYCTL, Args: []fork.Arg{fork.Int(unix.KEYCTL_JOIN_SESSION_KEYRING), fork.Str(k.name)}, Out: serial, Fail: "keyring"})
	if k.perm != 0 {
		p.Add(fork.Step{For: "let execs find the session keyring", NR: unix.SYS_KEYCTL, Args: []fork.Arg{fork.Int(unix.KEYCTL_SETPERM), fork.Ref(serial), fork.Hex(k.perm)}, Fail: "keyring"})
	}
	p.Mark("keyring")
}
