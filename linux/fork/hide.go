// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"bytes"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// hide keeps the shim's data out of children (madvise(2), MADV_DONTFORK): all
// writable private memory that is no file's, so Go's heap and stacks, but the
// arenas. A child so holds no secret of another container of the pod, a fork copies a few
// dozen page table entries instead of thousands, and neither side pays page faults
// for the copies.
//
// It looks again whenever the address space has grown, as the runtime maps new
// memory; what was mapped since is merely copied.
//
// A program linked with the C library, as the race detector asks for, is left as
// it is: that library registers a restartable sequence (rseq(2)) in each thread's
// memory, and the kernel ends a child that lacks it.
//
// Children of os/exec are not concerned: those share the parent's memory until
// their execve (CLONE_VM).
func hide() error {
	chunks.mu.Lock()
	defer chunks.mu.Unlock()
	size, err := chunks.addressSpace()
	if err != nil || size == chunks.size {
		return err
	}
	text, err := sys.ReadProc("self/maps")
	if err != nil {
		return err
	}
	if !bytes.Contains(text, []byte("/ld-linux")) {
		for line := range bytes.Lines(text) {
			if from, to, ok := writablePrivate(line); ok {
				chunks.hideRangeLocked(from, to)
			}
		}
	}
	chunks.size, err = chunks.addressSpace()
	return err
}

// statm stays open: it is read before each clone.
var statm = sync.OnceValues(func() (*os.File, error) { return sys.OpenProc("self/statm", os.O_RDONLY) })

// addressSpace is the process's virtual size and data size in pages, from statm
// (proc_pid_statm(5)).
func (c *chunkSet) addressSpace() (size [2]int64, err error) {
	f, err := statm()
	if err != nil {
		return size, err
	}
	var buf [128]byte
	n, err := f.ReadAt(buf[:], 0)
	if n == 0 {
		return size, err
	}
	fields := bytes.Fields(buf[:n])
	for i, at := range []int{0, 5} {
		if size[i], err = strconv.ParseInt(string(fields[at]), 10, 64); err != nil {
			return size, err
		}
	}
	return size, nil
}

// writablePrivate reads a line of /proc/PID/maps, `from-to rw-p offset dev inode`.
// Mappings of files are left out: they are the program's own.
func writablePrivate(line []byte) (from, to uintptr, ok bool) {
	f := bytes.Fields(line)
	if len(f) < 5 || len(f[1]) < 4 || f[1][1] != 'w' || f[1][3] != 'p' || string(f[4]) != "0" {
		return 0, 0, false
	}
	a, b, _ := bytes.Cut(f[0], []byte("-"))
	start, err := strconv.ParseUint(string(a), 16, 64)
	if err != nil {
		return 0, 0, false
	}
	end, err := strconv.ParseUint(string(b), 16, 64)
	return uintptr(start), uintptr(end), err == nil
}

// hideRangeLocked hides [from, to) without the chunks in it: the kernel shows
// neighbouring mappings as one.
func (c *chunkSet) hideRangeLocked(from, to uintptr) {
	for at, n := range c.live {
		end := at + uintptr(n)
		if at < to && end > from {
			c.hideRangeLocked(from, max(from, at))
			c.hideRangeLocked(min(to, end), to)
			return
		}
	}
	if from < to {
		// An error means that the mapping is gone, or a special one; it is copied
		// then, which is right, too.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTFORK)
	}
}
