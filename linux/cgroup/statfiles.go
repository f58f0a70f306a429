// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// stat holds the files that Stats reads. Its first call opens them; from then on it reads
// them with pread(2).
type stat struct {
	mu     sync.Mutex
	files  map[string]*os.File // guarded by mu
	buf    []byte              // guarded by mu
	closed bool                // guarded by mu
}

// read returns the text of a file. It opens the file if it is not open yet. Precondition:
// mu is held.
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
// kernel shows each of these files as one record and returns all of it if it fits. So a
// second read, which would find the end, is not needed.
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
