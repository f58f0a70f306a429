// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// stat holds the files that Stats reads, opened at its first call and read with
// pread(2) from then on.
type stat struct {
	mu     sync.Mutex
	files  map[string]*os.File // guarded by mu
	buf    []byte              // guarded by mu
	closed bool                // guarded by mu
}

// Stats reads what the group uses. Parts whose controller the group has not
// are nil, but for the CPU's: every cgroup counts its time. It waits for no
// other operation on the group but another Stats.
func (g *Group) Stats() (*stats.Metrics, error) {
	g.stat.mu.Lock()
	defer g.stat.mu.Unlock()
	if g.stat.closed {
		return nil, fmt.Errorf("read cgroup %s: it was removed: %w", g.path, errdefs.ErrNotFound)
	}
	r := reader{g: g}
	have := ParseControllers(r.always("cgroup.controllers"))
	m := &stats.Metrics{CPU: r.cpu()}
	if have.Has("pids") {
		m.Pids = &stats.PidsStat{Current: r.number("pids.current"), Limit: r.number("pids.max")}
	}
	if have.Has("memory") {
		m.Memory = r.memory()
		m.MemoryEvents = r.memoryEvents()
	}
	if have.Has("io") {
		m.Io = &stats.IOStat{Usage: parseIO(r.text("io.stat")), PSI: r.pressure("io.pressure")}
	}
	if have.Has("hugetlb") {
		m.Hugetlb = r.hugetlb()
	}
	if have.Has("rdma") {
		m.Rdma = &stats.RdmaStat{Current: parseRdma(r.text("rdma.current")), Limit: parseRdma(r.text("rdma.max"))}
	}
	if gone(r.err) || errors.Is(r.err, os.ErrClosed) {
		return nil, fmt.Errorf("read cgroup %s: it was removed: %w", g.path, errdefs.ErrNotFound)
	}
	return m, r.err
}

// reader reads files of a group, and keeps the first error. Files that this
// kernel does not have are empty. Precondition: stat.mu is held.
type reader struct {
	g   *Group
	err error
}

// always returns what a file holds that each group has until it is removed.
// Precondition: r.err is nil.
func (r *reader) always(name string) (text string) {
	text, r.err = r.g.stat.read(r.g.dir, name)
	return text
}

// text returns what the file holds.
func (r *reader) text(name string) string {
	if r.err != nil {
		return ""
	}
	text := r.always(name)
	if errors.Is(r.err, unix.ENOENT) || errors.Is(r.err, unix.EOPNOTSUPP) {
		r.err = nil
	}
	return text
}

func (r *reader) number(name string) uint64 {
	return number(firstLine(r.text(name)))
}

// read returns the text of a file, which it opens when it is not yet.
func (s *stat) read(dir *os.File, name string) (string, error) {
	text, err := s.readOpenLocked(dir, name)
	if errors.Is(err, unix.ENODEV) && s.files[name] != nil {
		// The file went away with its controller, and may be back.
		s.files[name].Close()
		delete(s.files, name)
		text, err = s.readOpenLocked(dir, name)
	}
	return text, err
}

func (s *stat) readOpenLocked(dir *os.File, name string) (string, error) {
	f := s.files[name]
	if f == nil {
		var err error
		if f, err = open(dir, name, unix.O_RDONLY); err != nil {
			return "", err
		}
		if s.files == nil {
			s.files = map[string]*os.File{}
		}
		s.files[name] = f
	}
	if s.buf == nil {
		s.buf = make([]byte, 4096)
	}
	for {
		n, err := pread(f, s.buf)
		if n == len(s.buf) { // there may be more
			s.buf = make([]byte, 2*len(s.buf))
			continue
		}
		return string(s.buf[:n]), err
	}
}

// pread reads from the beginning of a file that nobody closes meanwhile. The
// kernel gives all of a file that it shows as one record, as it does those here,
// if it fits: a second read, which would find the end, is not needed.
func pread(f *os.File, buf []byte) (n int, err error) {
	err = sys.Retry(func() error {
		n, err = unix.Pread(int(f.Fd()), buf, 0)
		return err
	})
	if err != nil {
		return 0, &os.PathError{Op: "pread", Path: f.Name(), Err: err}
	}
	return n, nil
}

func (s *stat) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	s.files, s.closed = nil, true
	return errors.Join(errs...)
}
