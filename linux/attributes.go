// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/cgroup"
	"github.com/containerd-mini/mini/linux/sys"
)

// writeOOMScore sets process.oomScoreAdj, where it is set. Precondition: pid is a
// child that nobody has waited for.
func writeOOMScore(pid int, p *specs.Process) error {
	if p.OOMScoreAdj == nil {
		return nil
	}
	value := strconv.Itoa(*p.OOMScoreAdj)
	if err := sys.WriteProc(strconv.Itoa(pid)+"/oom_score_adj", value); err != nil {
		return fmt.Errorf("set oom_score_adj to %s: %w", value, err)
	}
	return nil
}

// timeOffsets are linux.timeOffsets as timens_offsets takes them
// (time_namespaces(7)).
func timeOffsets(spec *specs.Spec) map[string]string {
	out := map[string]string{}
	for clock, o := range spec.Linux.TimeOffsets {
		out[clock] = fmt.Sprintf("%d %d", o.Secs, o.Nanosecs)
	}
	return out
}

// heldCaps are the capabilities in the shim's bounding set: no other can be given
// to a container.
var heldCaps = sync.OnceValue(func() capSet {
	var held capSet
	for i := range len(capabilityNames) {
		if v, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(i), 0, 0, 0); err == nil && v == 1 {
			held |= 1 << i
		}
	}
	return held
})

// lastCap is the kernel's highest capability.
var lastCap = sync.OnceValue(func() int {
	for i := 0; i < 64; i++ {
		if _, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(i), 0, 0, 0); err != nil {
			return i - 1
		}
	}
	return 63
})

// hierarchy is the host's cgroup2 tree, open for the life of the shim.
var hierarchy = sync.OnceValues(cgroup.OpenHierarchy)

// signalMember sends sig to a process that was seen in group. Its pidfd is opened
// first and its cgroup read again behind it, so a pid that was given to another
// process meanwhile is never hit. A process that is gone is no error.
func signalMember(group *cgroup.Group, pid int, sig syscall.Signal) error {
	pidfd, err := sys.PidfdOpen(pid)
	if err != nil {
		return unlessGone(err)
	}
	defer pidfd.Close()
	at, err := cgroupOf(pid)
	if err != nil {
		return unlessGone(err)
	}
	if at != group.Path() && !strings.HasPrefix(at, group.Path()+"/") {
		return nil
	}
	return unlessGone(sys.PidfdSend(pidfd, sig))
}

// cgroupOf is a process's path in the cgroup2 hierarchy: the entry 0::/path of
// cgroups(7).
func cgroupOf(pid int) (string, error) {
	b, err := sys.ReadProc(strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return "", err
	}
	for line := range bytes.Lines(b) {
		if path, ok := bytes.CutPrefix(line, []byte("0::")); ok {
			return strings.TrimRight(string(path), "\n"), nil
		}
	}
	return "", os.ErrNotExist
}

func unlessGone(err error) error {
	if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
