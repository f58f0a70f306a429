// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// nsFlags are the clone(2) flags of the spec's namespace types, in the order in
// which a child joins them: with the shim's privileges, so the user namespace,
// which takes those away, is last.
var nsFlags = []struct {
	kind specs.LinuxNamespaceType
	flag int
}{
	{specs.NetworkNamespace, unix.CLONE_NEWNET},
	{specs.IPCNamespace, unix.CLONE_NEWIPC},
	{specs.UTSNamespace, unix.CLONE_NEWUTS},
	{specs.CgroupNamespace, unix.CLONE_NEWCGROUP},
	{specs.TimeNamespace, unix.CLONE_NEWTIME},
	{specs.PIDNamespace, unix.CLONE_NEWPID},
	{specs.MountNamespace, unix.CLONE_NEWNS},
	{specs.UserNamespace, unix.CLONE_NEWUSER},
}

func nsFlag(kind specs.LinuxNamespaceType) int {
	for _, n := range nsFlags {
		if n.kind == kind {
			return n.flag
		}
	}
	return 0
}

// namespaces is what a container's namespaces ask of the clone.
type namespaces struct {
	create int              // CLONE_NEW* flags of new ones
	join   map[int]*os.File // by flag; the shim's own files, closed by close
}

// checkNamespaces refuses what the spec forbids: unknown types, one type twice
// (config-linux.md, "Namespaces").
func checkNamespaces(spec *specs.Spec) error {
	seen := map[specs.LinuxNamespaceType]bool{}
	for i, n := range spec.Linux.Namespaces {
		field := fmt.Sprintf("linux.namespaces[%d]", i)
		if nsFlag(n.Type) == 0 {
			return invalid(field+".type", "unknown namespace %q", n.Type)
		}
		if seen[n.Type] {
			return invalid(field+".type", "namespace %q is there twice", n.Type)
		}
		if n.Path != "" && !strings.HasPrefix(n.Path, "/") {
			return invalid(field+".path", "%q is not absolute", n.Path)
		}
		seen[n.Type] = true
	}
	if !seen[specs.MountNamespace] {
		return notImplemented("linux.namespaces", "a container in the host's mount namespace")
	}
	return nil
}

// newNamespace reports whether the spec asks for a new namespace of this kind.
func newNamespace(spec *specs.Spec, kind specs.LinuxNamespaceType) bool {
	for _, n := range spec.Linux.Namespaces {
		if n.Type == kind {
			return n.Path == ""
		}
	}
	return false
}

// ownNamespace reports whether the spec names this kind at all, new or joined.
func ownNamespace(spec *specs.Spec, kind specs.LinuxNamespaceType) bool {
	for _, n := range spec.Linux.Namespaces {
		if n.Type == kind {
			return true
		}
	}
	return false
}

// openNamespaces opens the namespaces to join while still in the host's mount
// namespace. ErrInvalidArgument: a path is no namespace of its type.
func openNamespaces(spec *specs.Spec) (_ *namespaces, err error) {
	ns := &namespaces{join: map[int]*os.File{}}
	defer func() {
		if err != nil {
			ns.close()
		}
	}()
	for i, n := range spec.Linux.Namespaces {
		flag := nsFlag(n.Type)
		if n.Path == "" {
			ns.create |= flag
			continue
		}
		f, err := os.OpenFile(n.Path, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return nil, fmt.Errorf("join %s namespace: %w", n.Type, err)
		}
		ns.join[flag] = f
		kind, err := sys.NamespaceType(f)
		if err != nil || kind != flag {
			field := fmt.Sprintf("linux.namespaces[%d].path", i)
			return nil, invalid(field, "%s is not a %s namespace", n.Path, n.Type)
		}
	}
	if err := ns.checkSysctls(spec); err != nil {
		return nil, err
	}
	return ns, ns.leaveOwn()
}

// leaveOwn drops the namespaces that the shim is in already: setns into one's own
// user namespace is EINVAL, and the others are nothing to do.
func (ns *namespaces) leaveOwn() error {
	f := ns.join[unix.CLONE_NEWUSER]
	if f == nil {
		return nil
	}
	own, err := isOwn(f, specs.UserNamespace)
	if own {
		delete(ns.join, unix.CLONE_NEWUSER)
		err = errors.Join(err, f.Close())
	}
	return err
}

// nsFiles are the names in /proc/PID/ns, where they are not those of the spec.
var nsFiles = map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "net", specs.MountNamespace: "mnt"}

// isOwn reports whether an open namespace is the one that the shim is in.
func isOwn(f *os.File, kind specs.LinuxNamespaceType) (bool, error) {
	name := nsFiles[kind]
	if name == "" {
		name = string(kind)
	}
	self, err := sys.OpenProcLink("self/ns", name, os.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer self.Close()
	return sys.SameFile(f, self)
}

func (ns *namespaces) close() {
	for _, f := range ns.join {
		_ = f.Close() // read-only
	}
}

// ownsNet reports whether the container's network namespace belongs to its user
// namespace: one that is made together with it, or that the pod made so.
func (ns *namespaces) ownsNet() (bool, error) {
	if ns.create&unix.CLONE_NEWNET != 0 {
		return true, nil
	}
	net, user := ns.join[unix.CLONE_NEWNET], ns.join[unix.CLONE_NEWUSER]
	if net == nil || user == nil {
		return false, nil
	}
	owner, err := sys.NamespaceOwner(net)
	if err != nil {
		return false, err
	}
	defer owner.Close()
	return sys.SameFile(owner, user)
}

// entered is entered of the spec without a user namespace that is the shim's own.
func (ns *namespaces) entered(spec *specs.Spec) int {
	flags := entered(spec)
	if ns.create&unix.CLONE_NEWUSER == 0 && !ns.joinsUser() {
		flags &^= unix.CLONE_NEWUSER
	}
	return flags
}

// entered are the flags of every namespace that an exec enters: those of the
// spec, new or joined.
func entered(spec *specs.Spec) (flags int) {
	for _, n := range spec.Linux.Namespaces {
		flags |= nsFlag(n.Type)
	}
	return flags
}
