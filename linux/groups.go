// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// A user namespace that a plain user has made alone, with no id but its own, denies
// setgroups(2) (user_namespaces(7)), and so do those below it. There a process keeps
// the groups of who made the namespace, and the groups of the specification, which
// are mostly those of the image's /etc/group, are left out with a warning, as runc
// leaves them out.

// groupsDenied reports whether the user namespace of a process denies setgroups.
func groupsDenied(process string) bool {
	b, err := sys.ReadProc(process + "/setgroups")
	return err == nil && bytes.HasPrefix(b, []byte("deny"))
}

// ownGroupsDenied is groupsDenied of the shim, which stays in its user namespace.
var ownGroupsDenied = sync.OnceValue(func() bool { return groupsDenied("self") })

// groupsDeniedTo tells it of a process to come of the container.
func (c *Container) groupsDeniedTo() bool {
	if c.joins&unix.CLONE_NEWUSER != 0 {
		return groupsDenied(strconv.Itoa(c.init.pid))
	}
	return ownGroupsDenied()
}

// setGroups replaces the groups that the child has of the shim.
func (id *identity) setGroups(p *fork.Program) {
	if id.noGroups {
		return
	}
	gids := id.proc.User.AdditionalGids
	groups := fork.NewSlice[uint32](p, len(gids)+1)
	copy(groups, gids)
	groups = groups[:len(gids)]
	what := "set groups"
	if len(gids) > 0 {
		what += fmt.Sprintf(" %d", gids[:min(len(gids), 8)]) // enough to be recognised
	}
	p.Call(what, unix.SYS_SETGROUPS, fork.Int(len(groups)), fork.MemSlice(groups, fmt.Sprint(groups)))
}

// unsetGroups is the warning of groups that are left out, or nil.
func unsetGroups(proc *specs.Process) error {
	if len(proc.User.AdditionalGids) == 0 {
		return nil
	}
	return fmt.Errorf("process.user.additionalGids: not set: the user namespace denies setgroups")
}
