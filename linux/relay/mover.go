// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/containerd-mini/mini/linux/sys"
)

// next is what a mover needs to go on.
type next int

const (
	nothing  next = iota // it can go on
	onWriter             // something in the source
	onReader             // room in the destination
	end                  // nothing: the source is at its end
)

// mover makes the system calls of a relay.
type mover struct {
	src, dst *os.File
	splice   bool
	paced    bool        // the source is a pipe, of which one move takes all that has come together in a rest
	dropped  func(error) // or nil, see Relay.dropped
	pace     pacer
	taken    int // bytes since the last move that pace was told of

	buf  *[bufferSize]byte // while rest is not empty
	rest []byte            // read and not yet written

	grown bool
	sizes [2]int // of src and dst before; 0: not to be changed
}

// bufferSize is as much as a pipe usually has.
const bufferSize = 64 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

func newMover(src, dst *os.File, dropped func(error)) mover {
	pipe := sys.IsPipe(src)
	return mover{src: src, dst: dst, splice: pipe && sys.IsPipe(dst), paced: pipe, dropped: dropped}
}

// pause returns how long to rest after a move of n bytes. A read of a terminal returns 4 KiB
// at most, however much there is: rests would only make its writer wait. Of a pipe there is
// more after a read that has filled the buffer; all reads after a rest count as one move.
func (m *mover) pause(n int) time.Duration {
	if !m.paced {
		return 0
	}
	m.taken += n
	if n == bufferSize && !m.splice {
		return 0
	}
	n, m.taken = m.taken, 0
	return m.pace.rest(n)
}

// idle is told that there is nothing to move.
func (m *mover) idle() {
	m.taken = 0
	m.pace.idle()
}

// close gives back what the mover holds.
func (m *mover) close() {
	m.free()
	m.shrink()
}

// move moves what it can without waiting, once; n is how many bytes.
func (m *mover) move() (n int, what next, err error) {
	if m.splice {
		n, err = sys.Splice(m.src, m.dst, fullSize)
	} else {
		n, err = m.copy()
	}
	switch {
	case n > 0:
		if n >= much {
			m.grow()
		}
		return n, nothing, nil
	case err == nil:
		return 0, end, nil
	case errors.Is(err, os.ErrClosed):
		return 0, end, nil
	case !errors.Is(err, syscall.EAGAIN):
		return 0, nothing, err
	}
	what, err = m.lacks()
	return 0, what, err
}

// lacks finds out after EAGAIN what was missing. The pipe may have got bytes, or
// room, meanwhile.
func (m *mover) lacks() (next, error) {
	if len(m.rest) > 0 {
		return onReader, nil
	}
	if !m.splice {
		return onWriter, nil
	}
	r, err := sys.Ready(m.src, m.dst)
	switch {
	case errors.Is(err, os.ErrClosed):
		return end, nil
	case err != nil:
		return nothing, err
	case !r.Readable && r.Ended:
		return end, nil
	case !r.Readable:
		return onWriter, nil
	case !r.Writable:
		return onReader, nil
	}
	return nothing, nil
}

// copy is a read and a write, or the rest of a write.
func (m *mover) copy() (int, error) {
	if len(m.rest) == 0 {
		m.buf = buffers.Get().(*[bufferSize]byte)
		n, err := sys.Read(m.src, m.buf[:])
		if err != nil || n == 0 {
			m.free()
			if err != nil && isEnd(err) {
				err = nil
			}
			return 0, err
		}
		m.rest = m.buf[:n]
	}
	n, err := sys.Write(m.dst, m.rest)
	switch {
	case err == nil:
		if m.dropped != nil {
			m.dropped(nil)
		}
	case errors.Is(err, syscall.EAGAIN), m.dropped == nil:
		return 0, err
	default:
		m.dropped(err)
		n = len(m.rest)
	}
	if m.rest = m.rest[n:]; len(m.rest) == 0 {
		m.free()
	}
	return n, nil
}

func (m *mover) free() {
	if m.buf != nil {
		buffers.Put(m.buf)
		m.buf, m.rest = nil, nil
	}
}

// grow gives both pipes fullSize, as long as the relay is busy.
func (m *mover) grow() {
	if m.grown {
		return
	}
	m.grown = true
	for i, f := range []*os.File{m.src, m.dst} {
		size, err := sys.PipeSize(f) // EBADF: not a pipe
		if err != nil || size >= fullSize || sys.SetPipeSize(f, fullSize) != nil {
			size = 0
		}
		m.sizes[i] = size
	}
}

// shrink takes it back.
func (m *mover) shrink() {
	if !m.grown {
		return
	}
	m.grown = false
	for i, f := range []*os.File{m.src, m.dst} {
		if m.sizes[i] > 0 {
			_ = sys.SetPipeSize(f, m.sizes[i]) // EBUSY: it is still full
		}
	}
}
