// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
	"sync"
	"weak"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Cache finds the filters of sections that were compiled before and are still in
// use: the containers of a pod mostly have one profile. It keeps no filter alive. The
// zero value is ready to use.
type Cache struct {
	mu      sync.Mutex
	seeds   [2]maphash.Seed                    // guarded by mu; made with filters
	filters map[[2]uint64]weak.Pointer[Filter] // guarded by mu
}

// maxCached bounds the cache. A shim has the containers of one pod.
const maxCached = 32

// Compile is the package's Compile. The filter of a section with the same content
// is the same.
func (c *Cache) Compile(s *specs.LinuxSeccomp) (*Filter, error) {
	if s == nil {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.filters == nil {
		c.filters = map[[2]uint64]weak.Pointer[Filter]{}
		c.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	}
	// 128 bits with seeds that nobody knows: two sections do not meet by chance, nor
	// by intent.
	t := text(s)
	key := [2]uint64{maphash.Bytes(c.seeds[0], t), maphash.Bytes(c.seeds[1], t)}
	if f := c.filters[key].Value(); f != nil {
		return f, nil
	}
	f, err := Compile(s)
	if err != nil || f == nil {
		return nil, err
	}
	maps.DeleteFunc(c.filters, func(_ [2]uint64, p weak.Pointer[Filter]) bool { return p.Value() == nil })
	if len(c.filters) >= maxCached {
		clear(c.filters)
	}
	c.filters[key] = weak.Make(f)
	return f, nil
}

// text is all of s that a filter depends on, each part with its length.
func text(s *specs.LinuxSeccomp) []byte {
	t := make(encoder, 0, 16<<10) // Docker's default profile takes half
	t.string(string(s.DefaultAction))
	t.errno(s.DefaultErrnoRet)
	t.number(uint64(len(s.Architectures)))
	for _, a := range s.Architectures {
		t.string(string(a))
	}
	// No list is another thing than an empty one.
	t.bit(s.Flags == nil)
	t.number(uint64(len(s.Flags)))
	for _, f := range s.Flags {
		t.string(string(f))
	}
	// Only whether there are any matters.
	t.bit(s.ListenerPath == "")
	t.bit(s.ListenerMetadata == "")
	for i := range s.Syscalls {
		t.entry(&s.Syscalls[i])
	}
	return t
}

type encoder []byte

func (t *encoder) entry(e *specs.LinuxSyscall) {
	t.string(string(e.Action))
	t.errno(e.ErrnoRet)
	t.number(uint64(len(e.Names)))
	for _, n := range e.Names {
		t.string(n)
	}
	t.number(uint64(len(e.Args)))
	for _, a := range e.Args {
		t.number(uint64(a.Index))
		t.number(a.Value)
		t.number(a.ValueTwo)
		t.string(string(a.Op))
	}
}

func (t *encoder) string(s string) {
	t.number(uint64(len(s)))
	*t = append(*t, s...)
}

func (t *encoder) errno(n *uint) {
	t.bit(n == nil)
	if n != nil {
		t.number(uint64(*n))
	}
}

func (t *encoder) bit(b bool) {
	if b {
		*t = append(*t, 1)
	} else {
		*t = append(*t, 0)
	}
}

func (t *encoder) number(n uint64) { *t = binary.AppendUvarint(*t, n) }
