// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"errors"
	"os"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// arena is the memory of one Program: everything its child reads and writes,
// stack included. It lies outside Go's heap, so that the child gets a copy of nothing else
// of the shim's data (hide). Of the arenas the child gets only its own, because others
// hold data of other containers (show).
type arena struct {
	chunks [][]byte
	used   int      // of the last chunk
	size   int      // of all chunks
	err    error    // the system had no memory: the Program cannot be started
	heap   [][]byte // what was taken of Go's heap instead from then on
}

const (
	chunkSize = 256 << 10 // bytes; an init with a small environment takes a quarter
	stackSize = 16 << 10  // of the child; the linker allows a chain of calls 800 bytes
	alignment = 16
)

// chunks keeps one chunk for the next Program, and knows them all, so that hide
// leaves them alone.
var chunks chunkSet

type chunkSet struct {
	mu    sync.Mutex
	spare []byte          // guarded by mu; cleared
	live  map[uintptr]int // guarded by mu; length by address, spare included
	size  [2]int64        // guarded by mu; of the address space when it was last hidden
}

// get returns a chunk of at least n zeroed bytes.
func (c *chunkSet) get(n int) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.spare; len(b) >= n {
		c.spare = nil
		return b, nil
	}
	size := (max(n, chunkSize) + chunkSize - 1) &^ (chunkSize - 1)
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	if err := unix.Madvise(b, unix.MADV_DONTFORK); err != nil {
		return nil, errors.Join(os.NewSyscallError("madvise", err), unix.Munmap(b))
	}
	if c.live == nil {
		c.live = map[uintptr]int{}
	}
	c.live[uintptr(unsafe.Pointer(&b[0]))] = len(b)
	return b, nil
}

// put takes a chunk back. Its pages are dropped: they may hold secrets of a
// container that the next one's child must not get, and are of no use to a shim
// that rests.
func (c *chunkSet) put(b []byte) error {
	if err := unix.Madvise(b, unix.MADV_DONTNEED); err != nil {
		clear(b)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spare == nil && len(b) == chunkSize {
		c.spare = b
		return nil
	}
	delete(c.live, uintptr(unsafe.Pointer(&b[0])))
	return os.NewSyscallError("munmap", unix.Munmap(b))
}

// alloc returns n zeroed bytes. When the system has no memory they are Go's, so that
// the one who builds a Program need not look at each of its allocations: start does,
// at err. These are small; the large ones have been reserved.
func (a *arena) alloc(n uintptr) unsafe.Pointer {
	need := aligned(n)
	if err := a.reserve(need); err != nil {
		b := make([]byte, need)
		a.heap = append(a.heap, b)
		return unsafe.Pointer(&b[0])
	}
	p := unsafe.Pointer(&a.chunks[len(a.chunks)-1][a.used])
	a.used += need
	return p
}

// reserve makes sure that the next need bytes are there. Each chunk is as large as all
// before it, so that there are few to look through (holds).
func (a *arena) reserve(need int) error {
	if len(a.chunks) > 0 && a.used+need <= len(a.chunks[len(a.chunks)-1]) {
		return nil
	}
	b, err := chunks.get(max(need, a.size))
	if err != nil {
		a.err = err
		return err
	}
	a.chunks, a.used, a.size = append(a.chunks, b), 0, a.size+len(b)
	return nil
}

// aligned returns the number of bytes that an allocation of n bytes takes.
func aligned(n uintptr) int {
	return (int(max(n, 1)) + alignment - 1) &^ (alignment - 1)
}

// show runs clone, whose child gets a copy of the arena. Precondition: the caller holds
// syscall.ForkLock, so that no other child gets one.
func (a *arena) show(clone func()) (err error) {
	defer func() {
		for _, b := range a.chunks {
			err = errors.Join(err, os.NewSyscallError("madvise", unix.Madvise(b, unix.MADV_DONTFORK)))
		}
	}()
	for _, b := range a.chunks {
		if err := unix.Madvise(b, unix.MADV_DOFORK); err != nil {
			return os.NewSyscallError("madvise", err)
		}
	}
	clone()
	return nil
}

// holds reports whether an address is in the arena.
func (a *arena) holds(p uintptr) bool {
	in := func(b []byte) bool {
		at := uintptr(unsafe.Pointer(&b[0]))
		return p >= at && p < at+uintptr(len(b))
	}
	return slices.ContainsFunc(a.chunks, in) || slices.ContainsFunc(a.heap, in)
}

// free gives the memory back. Nothing of the Program may be read afterwards but
// its steps' texts.
func (a *arena) free() {
	for _, b := range a.chunks {
		_ = chunks.put(b) // munmap of a mapping of ours
	}
	*a = arena{}
}

// New copies v into p's memory, where the child can read and write it. Pointers
// in v must point there, too.
func New[T any](p *Program, v T) *T {
	at := (*T)(p.mem.alloc(unsafe.Sizeof(v)))
	*at = v
	return at
}

// NewSlice makes a zeroed slice in p's memory.
func NewSlice[T any](p *Program, n int) []T {
	var zero T
	return unsafe.Slice((*T)(p.mem.alloc(uintptr(max(n, 1))*unsafe.Sizeof(zero))), n)
}

// bytes copies s and a NUL into p's memory.
func (p *Program) bytes(s string) *byte {
	b := NewSlice[byte](p, len(s)+1)
	copy(b, s)
	return &b[0]
}
