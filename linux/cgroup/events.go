// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/containerd-mini/mini/linux/sys"
	"golang.org/x/sys/unix"
)

// watch waits for changes of one flat-keyed file that the kernel announces
// (cgroup.events, memory.events). The file is polled through an epoll
// descriptor that the Go runtime polls in turn: waiting costs no thread and,
// unlike inotify, nothing of fs.inotify.max_user_instances.
//
// One goroutine at a time may wait. Close ends the wait.
type watch struct {
	file *os.File // kept open: reading it re-arms the kernel's event
	poll *os.File // epoll instance with file in it
}

// newWatch opens the file in dir. The caller closes the watch.
func newWatch(dir *os.File, name string) (_ *watch, err error) {
	file, err := open(dir, name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	event := unix.EpollEvent{Events: unix.EPOLLPRI}
	err = errors.Join(unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, int(file.Fd()), &event), unix.SetNonblock(fd, true))
	if err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "epoll_ctl", Path: file.Name(), Err: err}
	}
	return &watch{file: file, poll: os.NewFile(uintptr(fd), "epoll:"+file.Name())}, nil
}

// Close ends a wait and closes the files.
func (w *watch) Close() error { return errors.Join(w.poll.Close(), w.file.Close()) }

// lookAgain is the longest time without a look of our own: an announcement that
// goes missing, once seen in thousands of runs, must not cost more than this.
const lookAgain = time.Second

// until waits until the key has the value. A cgroup that was removed meanwhile
// is ENODEV.
func (w *watch) until(ctx context.Context, key string, value uint64) error {
	// The kernel announces at most one change of a file in 10 ms and puts the
	// next one off (CGROUP_FILE_NOTIFY_MIN_INTV): during that time look by
	// ourselves, at growing intervals.
	wait := 50 * time.Microsecond
	for {
		text, err := w.read()
		if err != nil {
			return err
		}
		if flatKey(text, key) == value {
			return nil
		}
		if err := w.change(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, lookAgain)
	}
}

// read returns the file's text; changes after it are seen by change.
func (w *watch) read() (string, error) {
	var buf [512]byte
	n, err := w.file.ReadAt(buf[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return string(buf[:n]), nil
}

// change waits until the file changed since it was read last, but not longer
// than most, which is no error; 0, for OOM kills, is without end. A watch whose ctx ended is
// good for Close only.
func (w *watch) change(ctx context.Context, most time.Duration) error {
	stop := context.AfterFunc(ctx, func() { _ = w.poll.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var deadline time.Time
	if most > 0 {
		deadline = time.Now().Add(most)
	}
	// ctx may have ended, and set its deadline, before this one is set.
	if err := w.poll.SetReadDeadline(deadline); err != nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	raw, err := w.poll.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		var events [1]unix.EpollEvent
		n := 0
		failed = sys.Retry(func() (err error) {
			n, err = unix.EpollWait(int(fd), events[:], 0)
			return err
		})
		return n > 0 || failed != nil
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case err != nil: // no other error is possible
		return &os.PathError{Op: "poll", Path: w.file.Name(), Err: os.ErrClosed}
	}
	return os.NewSyscallError("epoll_wait", failed)
}

// flatKey returns the number after key in a flat-keyed file, 0 when it is not
// there.
func flatKey(text, key string) uint64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, key+" "); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(rest), 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

// waitFor waits until a key of cgroup.events of dir has the value.
func waitFor(ctx context.Context, dir *os.File, key string, value uint64) error {
	data, err := readFile(dir, "cgroup.events")
	if err != nil {
		return err
	}
	if flatKey(string(data), key) == value {
		return nil
	}
	w, err := newWatch(dir, "cgroup.events")
	if err != nil {
		return err
	}
	defer w.Close()
	return w.until(ctx, key, value)
}
