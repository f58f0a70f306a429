// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// ipcSysctls are the kernel.* parameters of an ipc namespace
// (ipc_namespaces(7)).
var ipcSysctls = []string{
	"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced",
	"kernel/msg_next_id", "kernel/sem_next_id", "kernel/shm_next_id", "kernel/auto_msgmni",
}

// sysctlPath is a parameter's path below /proc/sys. Both ways to write one are
// taken, as sysctl(8) does: the first separator tells which, and the other
// character stands for itself (net.ipv4.conf.eth0/100, net/ipv4/conf/eth0.100).
func sysctlPath(name string) string {
	i := strings.IndexAny(name, "./")
	if i < 0 || name[i] == '/' {
		return name
	}
	return strings.NewReplacer(".", "/", "/", ".").Replace(name)
}

// checkSysctls refuses parameters of the host: only those of a namespace that the
// container has for itself can be set (config-linux.md, "Sysctl"). Whether a
// namespace that is joined is the host's only its file can tell:
// namespaces.checkSysctls.
func checkSysctls(spec *specs.Spec) error {
	for name := range spec.Linux.Sysctl {
		if err := checkSysctl(spec, name); err != nil {
			return err
		}
	}
	return nil
}

func checkSysctl(spec *specs.Spec, name string) error {
	path := sysctlPath(name)
	switch {
	case slices.Contains(strings.Split(path, "/"), "..") || strings.HasPrefix(path, "/"):
		return invalid("linux.sysctl", "%q is no kernel parameter", name)
	case path == "kernel/hostname":
		return invalid("linux.sysctl", "kernel.hostname belongs into the field hostname")
	case path == "kernel/domainname" && spec.Domainname != "":
		return invalid("linux.sysctl", "kernel.domainname contradicts the field domainname")
	}
	need := sysctlNamespace(path)
	if need == "" {
		return invalid("linux.sysctl", "%q belongs to no namespace", name)
	}
	if !ownNamespace(spec, need) {
		return invalid("linux.sysctl", "%q without a %s namespace", name, need)
	}
	return nil
}

// sysctlNamespace is the kind of namespace that each has a value of its own, ""
// for a parameter of the machine.
func sysctlNamespace(path string) specs.LinuxNamespaceType {
	switch {
	case path == "kernel/domainname":
		return specs.UTSNamespace
	case slices.Contains(ipcSysctls, path) || strings.HasPrefix(path, "fs/mqueue/"):
		return specs.IPCNamespace
	case strings.HasPrefix(path, "net/"):
		return specs.NetworkNamespace
	case strings.HasPrefix(path, "user/"):
		return specs.UserNamespace
	}
	return ""
}

// checkSysctls refuses the parameters of a namespace that is joined and is the
// shim's own: a path to the host's namespace would make them the host's. runc
// refuses network namespaces so, "host" being its own there too, and sets the
// others.
func (ns *namespaces) checkSysctls(spec *specs.Spec) error {
	for _, name := range slices.Sorted(maps.Keys(spec.Linux.Sysctl)) {
		kind := sysctlNamespace(sysctlPath(name))
		f := ns.join[nsFlag(kind)]
		if f == nil {
			continue
		}
		own, err := isOwn(f, kind)
		if err != nil {
			return err
		}
		if own {
			return invalid("linux.sysctl", "%q: the %s namespace that is joined is the host's", name, kind)
		}
	}
	return nil
}

// setSysctls writes the parameters, through the host's procfs. Those of an IPC
// namespace belong to the root of its user namespace (ipc/ipc_sysctl.c,
// ipc/mq_sysctl.c), and no capability passes by that. Precondition: the thread is in
// the container's network, ipc and uts namespaces, which is what decides whose
// parameters are meant. Those of the user namespace init has written itself
// (initPlan.userSysctls).
func (m *maker) setSysctls() error {
	values := m.Spec.Linux.Sysctl
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if sysctlNamespace(sysctlPath(name)) == specs.UserNamespace {
			continue
		}
		write := func() error { return sys.WriteProc("sys/"+sysctlPath(name), values[name]) }
		err := write()
		if errors.Is(err, unix.EACCES) && ownNamespace(m.Spec, specs.UserNamespace) {
			err = sys.WithEffectiveIDs(m.rootUID, m.rootGID, write)
		}
		if err != nil {
			return fmt.Errorf("set sysctl %s: %w", name, err)
		}
	}
	return nil
}

// userSysctls writes the user.* parameters, the limits on the namespaces that a user
// namespace may have (namespaces(7), "The /proc/sys/user directory"). Whose they are
// says the user namespace of who opens the file, which a thread of the shim cannot
// join (setns(2)), so init writes them. Precondition: it has all of its namespaces,
// and CAP_SYS_RESOURCE.
func (ip *initPlan) userSysctls(p *fork.Program) {
	values := ip.spec.Linux.Sysctl
	for _, name := range slices.Sorted(maps.Keys(values)) {
		path := sysctlPath(name)
		if sysctlNamespace(path) != specs.UserNamespace {
			continue
		}
		what := "set sysctl " + name
		fd := p.NewReg()
		p.Add(fork.Step{For: what, NR: unix.SYS_OPENAT, Args: []fork.Arg{
			fork.FD(ip.proc.Fd(), "proc"), fork.Str("sys/" + path), fork.Open(unix.O_WRONLY | unix.O_CLOEXEC),
		}, Out: fd})
		p.Call(what, unix.SYS_WRITE, fork.Ref(fd), fork.Str(values[name]), fork.Int(len(values[name])))
		p.Call(what, unix.SYS_CLOSE, fork.Ref(fd))
	}
}
