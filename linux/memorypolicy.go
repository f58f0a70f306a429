// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
)

// maxNodes is the highest number of memory nodes that a kernel can be built for
// (NODES_SHIFT).
const maxNodes = 1024

// memoryMode is a mode of set_mempolicy(2). nodes says whether it needs them, may
// have them, or has none.
type memoryMode struct {
	name  specs.MemoryPolicyModeType
	mode  int
	nodes nodeCount
}

type nodeCount uint8

const (
	noNodes nodeCount = iota
	anyNodes
	someNodes
)

var memoryModes = []memoryMode{
	{specs.MpolDefault, unix.MPOL_DEFAULT, noNodes},
	{specs.MpolBind, unix.MPOL_BIND, someNodes},
	{specs.MpolInterleave, unix.MPOL_INTERLEAVE, someNodes},
	{specs.MpolWeightedInterleave, unix.MPOL_WEIGHTED_INTERLEAVE, someNodes},
	{specs.MpolPreferred, unix.MPOL_PREFERRED, anyNodes},
	{specs.MpolPreferredMany, unix.MPOL_PREFERRED_MANY, someNodes},
	{specs.MpolLocal, unix.MPOL_LOCAL, noNodes},
}

var memoryFlags = []struct {
	name specs.MemoryPolicyFlagType
	flag int
}{
	{specs.MpolFNumaBalancing, unix.MPOL_F_NUMA_BALANCING},
	{specs.MpolFRelativeNodes, unix.MPOL_F_RELATIVE_NODES},
	{specs.MpolFStaticNodes, unix.MPOL_F_STATIC_NODES},
}

// memoryPolicy is linux.memoryPolicy as set_mempolicy takes it.
type memoryPolicy struct {
	mode  int // with the flags
	nodes numberSet
}

// readMemoryPolicy is nil where the field is.
func readMemoryPolicy(m *specs.LinuxMemoryPolicy) (*memoryPolicy, error) {
	const field = "linux.memoryPolicy"
	if m == nil {
		return nil, nil
	}
	out := &memoryPolicy{mode: -1}
	var err error
	if out.nodes, err = parseNumbers(m.Nodes, maxNodes); err != nil {
		return nil, invalid(field+".nodes", "%v", err)
	}
	for _, known := range memoryModes {
		if known.name != m.Mode {
			continue
		}
		out.mode = known.mode
		if len(out.nodes) > 0 && known.nodes == noNodes || len(out.nodes) == 0 && known.nodes == someNodes {
			return nil, invalid(field+".nodes", "%q for %s", m.Nodes, m.Mode)
		}
	}
	if out.mode < 0 {
		return nil, invalid(field+".mode", "unknown mode %q", m.Mode)
	}
	for i, name := range m.Flags {
		flag := 0
		for _, known := range memoryFlags {
			if known.name == name {
				flag = known.flag
			}
		}
		if flag == 0 {
			return nil, invalid(fmt.Sprintf("%s.flags[%d]", field, i), "unknown flag %q", name)
		}
		out.mode |= flag
	}
	return out, nil
}

// steps sets the policy, which execve and fork keep. The child is in its cpuset by
// now, whose memory nodes bound those of the policy.
func (m *memoryPolicy) steps(p *fork.Program) {
	if m == nil {
		return
	}
	nodes, bits := fork.Int(0), 0
	if len(m.nodes) > 0 {
		mask := fork.NewSlice[uint64](p, len(m.nodes))
		copy(mask, m.nodes)
		nodes, bits = fork.MemSlice(mask, fmt.Sprintf("%#x", mask)), 64*len(mask)+1 // the kernel takes one off
	}
	p.Call("set memory policy", unix.SYS_SET_MEMPOLICY, fork.Hex(m.mode), nodes, fork.Int(bits))
}

func memoryModeNames() (names []string) {
	for _, m := range memoryModes {
		names = append(names, string(m.name))
	}
	return names
}

func memoryFlagNames() (names []string) {
	for _, f := range memoryFlags {
		names = append(names, string(f.name))
	}
	return names
}
