// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

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
// container has for itself can be set (config-linux.md, "Sysctl").
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
	need := specs.LinuxNamespaceType("")
	switch {
	case slices.Contains(strings.Split(path, "/"), "..") || strings.HasPrefix(path, "/"):
		return invalid("linux.sysctl", "%q is no kernel parameter", name)
	case path == "kernel/hostname":
		return invalid("linux.sysctl", "kernel.hostname belongs into the field hostname")
	case path == "kernel/domainname":
		if spec.Domainname != "" {
			return invalid("linux.sysctl", "kernel.domainname contradicts the field domainname")
		}
		need = specs.UTSNamespace
	case slices.Contains(ipcSysctls, path) || strings.HasPrefix(path, "fs/mqueue/"):
		need = specs.IPCNamespace
	case strings.HasPrefix(path, "net/"):
		need = specs.NetworkNamespace
	default:
		return invalid("linux.sysctl", "%q belongs to no namespace", name)
	}
	if !ownNamespace(spec, need) {
		return invalid("linux.sysctl", "%q without a %s namespace", name, need)
	}
	return nil
}

// setSysctls writes the parameters, through the host's procfs. Precondition: the
// thread is in the container's network, ipc and uts namespaces, which is what
// decides whose parameters are meant.
func setSysctls(values map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if err := sys.WriteProc("sys/"+sysctlPath(name), values[name]); err != nil {
			return fmt.Errorf("set sysctl %s: %w", name, err)
		}
	}
	return nil
}
