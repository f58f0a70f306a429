// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// An image says by itself which namespaces and rights its processes have, and may
// have been made by anybody. What it says is held against the specification
// before anything of it runs.

// checkNamespaces makes sure that init is where the specification says.
func (r *restorer) checkNamespaces() error {
	dir := strconv.Itoa(r.pid) + "/ns"
	for _, n := range nsFlags {
		got, err := sys.OpenProcLink(dir, nsName(n.kind), os.O_RDONLY)
		if err != nil {
			return err
		}
		err = r.checkNamespace(n.kind, n.flag, got)
		_ = got.Close() // read-only
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *restorer) checkNamespace(kind specs.LinuxNamespaceType, flag int, got *os.File) error {
	self, err := sys.OpenProcLink("self/ns", nsName(kind), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer self.Close()
	want := self
	if f := r.ns.join[flag]; f != nil {
		want = f
	}
	same, err := sys.SameFile(got, want)
	if err != nil {
		return err
	}
	isNew := r.ns.create&flag != 0
	switch {
	case flag == unix.CLONE_NEWTIME && !same && want == self:
		// criu keeps the clocks going by a time namespace; execs must be in it.
		r.c.joins |= flag
		return nil
	case isNew && same:
		return misfit("its %s namespace is the host's", kind)
	case !isNew && !same:
		return misfit("its %s namespace is another one than the container's", kind)
	}
	return nil
}

// criuProfile is the specification's profile or label as criu takes it.
func criuProfile(p *specs.Process) string {
	switch {
	case p.ApparmorProfile != "":
		return "apparmor:" + p.ApparmorProfile
	case p.SelinuxLabel != "":
		return "selinux:" + p.SelinuxLabel
	}
	return ""
}

// checkLabel makes sure that a process is confined as the specification says.
func checkLabel(pid int, p *specs.Process) error {
	want := p.ApparmorProfile
	if want == "" {
		want = p.SelinuxLabel
	}
	if want == "" {
		return nil
	}
	b, err := sys.ReadProc(strconv.Itoa(pid) + "/attr/current")
	if err != nil {
		return err
	}
	got := string(bytes.TrimRight(b, "\x00\n"))
	if p.ApparmorProfile != "" { // "profile (mode)"
		got, _, _ = strings.Cut(got, " (")
	}
	if got != want {
		return misfit("process %d is confined by %q, not by %q", pid, got, want)
	}
	return nil
}

// zombieLimit bounds the wait for a process that criu makes to be dead: it has not
// taken the rights of the one whose place it takes, and never runs.
const zombieLimit = 2 * time.Second

// checkRights makes sure that no process that lives has a capability that the
// specification does not give, or is without its confinement. It gives those that do
// until limit to be dead.
func (r *restorer) checkRights(limit time.Duration) error {
	pids, err := descendants(r.pid)
	if err != nil {
		return err
	}
	end := time.Now().Add(limit)
	for _, pid := range pids {
		err := r.checkProcess(pid)
		if errdefs.IsFailedPrecondition(err) && deadBy(pid, end) {
			continue
		}
		if err != nil && !isGone(err) {
			return err
		}
	}
	return nil
}

// isGone tells the error of looking at a process that is dead and was waited for.
func isGone(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) }

// deadBy reports whether a process is dead at that time; it returns once it is.
func deadBy(pid int, end time.Time) bool {
	pidfd, err := sys.PidfdOpen(pid)
	if err != nil {
		return isGone(err)
	}
	defer pidfd.Close()
	return sys.PidfdDeath(pidfd, time.Until(end)) == nil
}

func (r *restorer) checkProcess(pid int) error {
	status, err := sys.ReadProc(strconv.Itoa(pid) + "/status")
	if err != nil {
		return err
	}
	held, dead, err := rights(status)
	if err != nil || dead {
		return err
	}
	bounding := capabilities(r.Spec.Process.Capabilities, heldCaps()).bounding
	if held&^bounding != 0 {
		return misfit("process %d has capabilities %#x, the container has %#x", pid, uint64(held), uint64(bounding))
	}
	return checkLabel(pid, r.Spec.Process)
}

func misfit(format string, args ...any) error {
	return fmt.Errorf("the checkpoint does not fit the container: %s: %w", fmt.Sprintf(format, args...), errdefs.ErrFailedPrecondition)
}

// rights reads all capabilities in any set from /proc/PID/status, and whether the
// process is dead (proc_pid_status(5)).
func rights(status []byte) (held capSet, dead bool, err error) {
	seen := 0
	for line := range bytes.Lines(status) { // that of the groups can be long
		name, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimSpace(value)
		switch name {
		case "State":
			dead = strings.HasPrefix(value, "Z") || strings.HasPrefix(value, "X")
			seen++
		case "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
			n, err := strconv.ParseUint(value, 16, 64)
			if err != nil {
				return 0, false, err
			}
			held |= capSet(n)
			seen++
		}
	}
	if seen != 6 {
		return 0, false, errors.New("read status: capabilities are missing")
	}
	return held, dead, nil
}

// descendants are a process and all below it. Precondition: none of them runs.
func descendants(pid int) ([]int, error) {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		children, err := sys.ChildrenOf(strconv.Itoa(all[i]))
		if errors.Is(err, os.ErrNotExist) && i > 0 {
			continue // dead, and waited for
		}
		if err != nil {
			return nil, err
		}
		all = append(all, children...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
