// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// maxCPUs is the highest number of CPUs that a kernel can be built for (NR_CPUS of
// x86).
const maxCPUs = 8192

// affinity is process.execCPUAffinity of an exec; the zero value asks for all CPUs.
type affinity struct {
	initial numberSet // of the thread that clones, and so of the child's birth
	final   numberSet // what the child takes itself
}

// cpuAffinity reads the field; init has none (config.md, "execCPUAffinity").
func cpuAffinity(field string, a *specs.CPUAffinity) (out affinity, err error) {
	if a == nil {
		return affinity{}, nil
	}
	if out.initial, err = parseNumbers(a.Initial, maxCPUs); err != nil {
		return out, invalid(field+".initial", "%v", err)
	}
	if out.final, err = parseNumbers(a.Final, maxCPUs); err != nil {
		return out, invalid(field+".final", "%v", err)
	}
	return out, nil
}

// steps sets the child's own CPUs, once it is in its cgroup. With an initial set
// and no final one the kernel decides: that is what the specification asks for.
// Without any the child may run on every CPU of its cpuset, not only on those that
// the shim was confined to (as runc since 1.3.1); CPUs that the cpuset gets later
// count, so the set is of all that there could be.
func (a affinity) steps(p *fork.Program) {
	switch {
	case a.final != nil:
		mask := fork.NewSlice[uint64](p, len(a.final))
		copy(mask, a.final)
		p.Call("set CPU affinity", unix.SYS_SCHED_SETAFFINITY, fork.Int(0), fork.Int(8*len(mask)), fork.MemSlice(mask, fmt.Sprintf("%#x", mask)))
	case a.initial == nil:
		mask := fork.NewSlice[uint64](p, maxCPUs/64)
		for i := range mask {
			mask[i] = ^uint64(0)
		}
		p.Add(fork.Step{For: "reset CPU affinity", NR: unix.SYS_SCHED_SETAFFINITY, Args: []fork.Arg{fork.Int(0), fork.Int(8 * len(mask)), fork.MemSlice(mask, "all")}, Fail: "affinity"})
		p.Mark("affinity") // no error, as in runc
	}
}

// around runs start, which clones a child, on a thread that is confined to the
// initial CPUs meanwhile.
func (a affinity) around(start func() error) error {
	if a.initial == nil {
		return start()
	}
	runtime.LockOSThread()
	before, err := sys.Affinity()
	if err == nil {
		err = sys.SetAffinity(a.initial)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("set initial CPU affinity: %w", err)
	}
	err = start()
	if back := sys.SetAffinity(before); back != nil {
		// Poisoned: the thread stays locked and ends with its goroutine.
		return errors.Join(err, fmt.Errorf("reset CPU affinity: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}
