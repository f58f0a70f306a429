// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
	"runtime"
	"sync"
	"weak"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Cache compiles sections and finds the filters that are still in use: the containers of
// a pod mostly share a profile. It keeps no filter alive. The zero value is ready to use.
type Cache struct {
	mu      sync.Mutex
	seeds   [2]maphash.Seed                   // guarded by mu; made with filters
	filters map[cacheKey]weak.Pointer[Filter] // guarded by mu
}

// maxFilters bounds the cache. A shim has the containers of one pod.
const maxFilters = 32

// Compile compiles a section for this machine. Sections with the same content share a
// filter. For errors and a nil filter see CompileFor. It does not hold mu over the work,
// which one container's section may make long for all others.
func (c *Cache) Compile(s *specs.LinuxSeccomp) (*Filter, error) {
	if s == nil {
		return nil, nil
	}
	key := c.key(text(s))
	if f := c.find(key); f != nil {
		return f, nil
	}
	f, err := CompileFor(runtime.GOARCH, s)
	if err != nil || f == nil {
		return nil, err
	}
	return c.keep(key, f), nil
}

type cacheKey [2]uint64

// key is 128 bits with seeds that nobody knows: two sections do not meet by chance,
// nor by intent.
func (c *Cache) key(text []byte) cacheKey {
	c.mu.Lock()
	if c.filters == nil {
		c.filters = map[cacheKey]weak.Pointer[Filter]{}
		c.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	}
	seeds := c.seeds
	c.mu.Unlock()
	return cacheKey{maphash.Bytes(seeds[0], text), maphash.Bytes(seeds[1], text)}
}

func (c *Cache) find(key cacheKey) *Filter {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.filters[key].Value()
}

// keep returns f, or the filter that is kept under its key already.
func (c *Cache) keep(key cacheKey, f *Filter) *Filter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if first := c.filters[key].Value(); first != nil {
		return first
	}
	maps.DeleteFunc(c.filters, func(_ cacheKey, p weak.Pointer[Filter]) bool { return p.Value() == nil })
	if len(c.filters) >= maxFilters {
		clear(c.filters)
	}
	c.filters[key] = weak.Make(f)
	return f
}

// text returns everything in s that a filter depends on, each part with its length.
func text(s *specs.LinuxSeccomp) []byte {
	t := make(encoder, 0, 16<<10) // twice what Docker's default profile needs
	t.string(string(s.DefaultAction))
	t.errno(s.DefaultErrnoRet)
	t.number(uint64(len(s.Architectures)))
	for _, a := range s.Architectures {
		t.string(string(a))
	}
	// No list means something else than an empty one: see readFlags.
	t.bit(s.Flags == nil)
	t.number(uint64(len(s.Flags)))
	for _, f := range s.Flags {
		t.string(string(f))
	}
	// What they say does not change the filter, only whether they are there.
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
