// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/sys"
)

// limitFiles lets the process open only n descriptors more, until it is undone.
func limitFiles(t testing.TB, n int) (undo func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	limit := 1 // fcntl(2) has another errno for 0
	for free := 0; free < n; limit++ {
		if _, err := unix.FcntlInt(uintptr(limit), unix.F_GETFD, 0); err != nil {
			free++
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(limit), Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
	}
}

// hog takes every descriptor that comes free, until it is stopped.
func hog(t testing.TB) (stop func()) {
	t.Helper()
	var taken []int
	var stopped atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stopped.Load() {
			if fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0); err == nil {
				taken = append(taken, fd)
			} else {
				time.Sleep(time.Microsecond)
			}
		}
	}()
	return func() {
		stopped.Store(true)
		<-done
		for _, fd := range taken {
			_ = unix.Close(fd) // a copy
		}
	}
}

// makers are what makes a process: each returns how to end it, or after an error how
// containerd's delete cleans up.
func makers(t *testing.T) map[string]func(*testing.T) (undo func() error, err error) {
	t.Helper()
	c := started(t, newBundle(t), newSpec(t, "sleep", "1000"), nil)
	bundle := newBundle(t)
	none := func() error { return nil }
	exec1 := func(t *testing.T) (func() error, error) {
		p, err := c.Exec(t.Context(), &ExecConfig{ID: "e", Process: &specs.Process{Args: []string{"/bin/true"}, Cwd: "/"}})
		if err != nil {
			return none, err
		}
		return func() error { _, err := p.Wait(); return errors.Join(err, p.Close()) }, nil
	}
	undo, err := exec1(t) // whose cgroup is kept for the next
	if err = errors.Join(err, undo()); err != nil {
		t.Fatal(err)
	}
	return map[string]func(*testing.T) (func() error, error){
		"exec": exec1,
		"create": func(t *testing.T) (func() error, error) {
			spec := newSpec(t, "true")
			var rec *Record
			c, err := Create(t.Context(), &Config{ID: "c", Bundle: bundle, Spec: spec, Record: func(r Record) error { rec = &r; return nil }})
			if err != nil {
				return func() error { return Cleanup(t.Context(), bundle, "c", spec, rec, Options{}) }, err
			}
			return func() error {
				err := c.Kill()
				_, werr := c.Init().Wait()
				return errors.Join(err, werr, c.Init().Close(), c.Destroy(t.Context()))
			}, nil
		},
		"hook": func(t *testing.T) (func() error, error) {
			return none, runHook(t.Context(), &specs.Hook{Path: "/bin/true"}, nil, hookOnHost("/"))
		},
		"helper": func(t *testing.T) (func() error, error) {
			wait, err := StartHelper(t.Context(), exec.Command("/bin/true"))
			if err != nil {
				return none, err
			}
			return wait, nil
		},
	}
}

// TestFewDescriptors: whatever makes a process either does so, or runs out of
// descriptors, says so, and leaves neither a process nor a descriptor.
func TestFewDescriptors(t *testing.T) {
	testenv.Root(t)
	for name, try := range makers(t) {
		t.Run(name, func(t *testing.T) {
			testenv.NoLeaks(t, testenv.CgroupPrefix())
			for n := 0; ; n++ {
				unlimited := limitFiles(t, n)
				undo, err := try(t)
				unlimited()
				if err == nil {
					if err := undo(); err != nil {
						t.Error(err)
					}
					return
				}
				if !errors.Is(err, unix.EMFILE) || n == 100 {
					t.Fatalf("with %d descriptors: %v", n, err)
				}
			}
		})
	}
}

// TestDescriptorsRunOut is the same where another takes what is given back on the
// way: no step can count on a descriptor that was there for an earlier one.
func TestDescriptorsRunOut(t *testing.T) {
	testenv.Root(t)
	for name, try := range makers(t) {
		t.Run(name, func(t *testing.T) {
			testenv.NoLeaks(t, testenv.CgroupPrefix())
			for n := range 40 {
				unlimited := limitFiles(t, n)
				stop := hog(t)
				undo, err := try(t)
				stop()
				unlimited()
				if err != nil && !errors.Is(err, unix.EMFILE) {
					t.Errorf("with %d descriptors: %v", n, err)
				}
				// The removal of a cgroup takes a descriptor, which is not to be had.
				if err := undo(); err != nil {
					t.Errorf("with %d descriptors: %v", n, err)
				}
			}
		})
	}
}

// TestPollableFails: who has a process by a pidfd alone can kill it when that pidfd
// cannot be made pollable.
func TestPollableFails(t *testing.T) {
	cmd := exec.Command("/bin/sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }() // killed below, if all is well
	pidfd, err := sys.PidfdOpen(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer pidfd.Close()
	unlimited := limitFiles(t, 0)
	_, err = sys.Pollable(pidfd)
	unlimited()
	if !errors.Is(err, unix.EMFILE) {
		t.Errorf("without a descriptor: %v", err)
	}
	if err := sys.PidfdSend(pidfd, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if exit, err := sys.PidfdEnded(pidfd); err != nil || exit != (sys.Exit{Signaled: true, Status: int(unix.SIGKILL)}) {
		t.Errorf("exit %+v, %v", exit, err)
	}
}
