// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"math/bits"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
)

// capabilityNames are the capabilities by number (capabilities(7); the newest is
// of Linux 5.9).
var capabilityNames = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
	"CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
	"CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP",
	"CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ",
	"CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// capSet is a set of capabilities, a bit each.
type capSet uint64

// parseCaps makes a set of names. A name the table lacks is left out, as the spec
// asks ("MUST log a warning, not fail"; runc warns): it cannot be granted.
func parseCaps(names []string) (s capSet) {
	for _, n := range names {
		for i, known := range capabilityNames {
			if strings.EqualFold(n, known) {
				s |= 1 << i
			}
		}
	}
	return s
}

// capPlan is the five sets of a process.
type capPlan struct {
	bounding, effective, permitted, inheritable, ambient capSet

	short bool // ungranted may have something to tell
}

// capabilities reads process.capabilities: none at all means none are granted.
// Capabilities outside held, which the shim itself lacks, cannot be granted and
// are left out. Ambient ones need the inheritable and the permitted bit
// (capabilities(7)); others are left out, too.
func capabilities(c *specs.LinuxCapabilities, held capSet) (p capPlan) {
	if c == nil {
		return p
	}
	grant := func(names []string) capSet {
		s := parseCaps(names) & held
		p.short = p.short || bits.OnesCount64(uint64(s)) != len(names)
		return s
	}
	p.bounding, p.effective, p.permitted = grant(c.Bounding), grant(c.Effective), grant(c.Permitted)
	p.inheritable, p.ambient = grant(c.Inheritable), grant(c.Ambient)
	p.effective &= p.permitted // the kernel refuses the rest
	p.ambient &= p.inheritable & p.permitted
	return p
}

// maxNamed bounds the names in a warning: all that there are.
const maxNamed = 64

// ungranted is a warning that names the capabilities which capabilities has left
// out because there are none of that name, or the shim has not got them; or nil
// (config.md, "capabilities": "MUST log a warning").
func ungranted(c *specs.LinuxCapabilities, held capSet) error {
	var names []string
	seen := map[string]bool{}
	for _, list := range [][]string{c.Bounding, c.Effective, c.Permitted, c.Inheritable, c.Ambient} {
		for _, n := range list {
			if !seen[n] && parseCaps([]string{n})&held == 0 {
				names = append(names, n)
			}
			seen[n] = true
		}
	}
	if len(names) == 0 {
		return nil
	}
	if more := len(names) - maxNamed; more > 0 {
		names = append(names[:maxNamed], fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("process.capabilities: not granted: %s", strings.Join(names, ", "))
}

// dropBounding removes what is not in the bounding set. Before the change of
// user: it needs CAP_SETPCAP. last is the kernel's highest capability.
func dropBounding(p *fork.Program, caps capPlan, last int) {
	for i := range last + 1 {
		if caps.bounding&(1<<i) == 0 {
			p.Call("drop capability "+capName(i)+" from the bounding set", unix.SYS_PRCTL, fork.Int(unix.PR_CAPBSET_DROP), fork.Int(i))
		}
	}
}

func capName(i int) string {
	if i < len(capabilityNames) {
		return capabilityNames[i]
	}
	return fmt.Sprintf("CAP_%d", i)
}

// capHeader and capData are what capset(2) takes, version 3.
type capHeader struct {
	Version uint32
	Pid     int32
}

type capData [2]struct{ Effective, Permitted, Inheritable uint32 }

const capVersion3 = 0x20080522

// setCapabilities sets the other four sets. After the change of user, which has
// kept the permitted set (PR_SET_KEEPCAPS).
func setCapabilities(p *fork.Program, caps capPlan) {
	header, data := capset(p, caps)
	// The ambient set of the shim is not the container's.
	p.Call("clear ambient capabilities", unix.SYS_PRCTL, fork.Int(unix.PR_CAP_AMBIENT), fork.Int(unix.PR_CAP_AMBIENT_CLEAR_ALL))
	p.Call("set capabilities", unix.SYS_CAPSET, header, data)
	for i := range len(capabilityNames) {
		if caps.ambient&(1<<i) != 0 {
			p.Call("raise ambient capability "+capName(i), unix.SYS_PRCTL, fork.Int(unix.PR_CAP_AMBIENT), fork.Int(unix.PR_CAP_AMBIENT_RAISE), fork.Int(i))
		}
	}
}

// held are the capabilities that the process has until its filter is installed and its
// scheduler is set.
func (id *identity) held(unfiltered bool) capPlan {
	caps := id.caps
	var more capSet
	if unfiltered && id.filter.privileged() {
		more |= 1 << unix.CAP_SYS_ADMIN
	}
	if id.schedulesLate() {
		more |= 1 << unix.CAP_SYS_NICE
	}
	caps.effective |= more
	caps.permitted |= more
	return caps
}

// drop leaves the process caps of those that it has now.
func (id *identity) drop(p *fork.Program, caps, now capPlan) {
	if caps != now {
		header, data := capset(p, caps)
		p.Call("drop capabilities that the process does not have", unix.SYS_CAPSET, header, data)
	}
}

// capset is the arguments of capset(2).
func capset(p *fork.Program, caps capPlan) (header, sets fork.Arg) {
	data := fork.New(p, capData{})
	for i := range data {
		shift := 32 * i
		data[i].Effective = uint32(caps.effective >> shift)
		data[i].Permitted = uint32(caps.permitted >> shift)
		data[i].Inheritable = uint32(caps.inheritable >> shift)
	}
	return fork.Mem(fork.New(p, capHeader{Version: capVersion3}), "v3"), fork.Mem(data, caps.text())
}

func (c capPlan) text() string {
	return fmt.Sprintf("{e=%#x p=%#x i=%#x}", uint64(c.effective), uint64(c.permitted), uint64(c.inheritable))
}
