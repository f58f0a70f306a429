// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/cgroup"
	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// spawn clones a child for prog. The pid and time namespaces of a child are those
// that its parent's thread has set for its children, so where one of those is to
// be joined or made, a thread is prepared first.
type spawn struct {
	config  fork.Config
	pidns   *os.File          // to join: the namespace, or the pidfd of a process in it; or nil
	newTime bool              // make a time namespace
	offsets map[string]string // of the new time namespace, by clock: "secs nanosecs"
	cpus    affinity          // whose initial CPUs the child is born on
}

// run returns the child. It is known to Reap before it can end.
func (s *spawn) run() (child *fork.Child, err error) {
	defer s.config.Program.Close()
	// Not while a birth holds up Reap.
	if err := s.config.Program.Compile(); err != nil {
		return nil, err
	}
	start := func() error {
		return s.cpus.around(func() (err error) {
			child, err = s.start()
			return err
		})
	}
	switch {
	case s.newTime:
		err = sys.OnThread(func() error {
			if err := s.makeTime(); err != nil {
				return fmt.Errorf("make time namespace: %w", err)
			}
			return s.joinPidns(start)
		})
	case s.pidns == nil:
		err = start()
	case !comesBack():
		err = sys.OnThread(func() error { return s.joinPidns(start) })
	default:
		err = s.inPidns(start)
	}
	if err != nil && child != nil { // the thread could not go back
		err, child = errors.Join(err, abandon(child)), nil
	}
	return child, err
}

// start clones the child, and where it is born dead, another one.
func (s *spawn) start() (*fork.Child, error) {
	child, err := born(func() (*fork.Child, error) { return fork.Start(s.config) })
	if err != nil || s.config.Cgroup == nil {
		return child, err
	}
	dead, err := child.Stillborn()
	if err != nil {
		return nil, errors.Join(err, abandon(child))
	}
	if !dead {
		return child, nil
	}
	own.remove(child.Pid)
	return born(func() (*fork.Child, error) { return fork.StartOutside(s.config, cgroup.Enter) })
}

func born(start func() (*fork.Child, error)) (child *fork.Child, err error) {
	err = own.born(func() (int, error) {
		if child, err = start(); err != nil {
			return 0, err
		}
		return child.Pid, nil
	})
	return child, err
}

// inPidns runs start while the children of the calling thread are born in the pid
// namespace to join. The thread itself stays where it is, so it can go back to
// other work: a thread of its own would cost more than the rest of an exec.
func (s *spawn) inPidns(start func() error) error {
	home, err := ownPidns()
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := s.joinPidns(func() error { return nil }); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = start()
	if back := sys.Setns(home, unix.CLONE_NEWPID); back != nil {
		// Poisoned: the thread stays locked and ends with its goroutine.
		return errors.Join(err, fmt.Errorf("leave pid namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}

// joinPidns is inPidns on a thread that ends.
func (s *spawn) joinPidns(start func() error) error {
	if s.pidns != nil {
		if err := sys.Setns(s.pidns, unix.CLONE_NEWPID); err != nil {
			return fmt.Errorf("join pid namespace: %w", err)
		}
	}
	return start()
}

// comesBack reports whether a thread may go back to the shim's pid namespace: not where
// that is the host's and the shim is root of a user namespace only, as a tool for
// rootless containers without pid namespaces makes it. Going to where it is already
// takes the same right.
var comesBack = sync.OnceValue(func() bool {
	home, err := ownPidns()
	return err == nil && sys.Setns(home, unix.CLONE_NEWPID) == nil
})

// ownPidns is the shim's own pid namespace, open for its life.
var ownPidns = sync.OnceValues(func() (*os.File, error) {
	return sys.OpenProcLink("self/ns", "pid", os.O_RDONLY)
})

// makeTime gives the thread's children a new time namespace. Its offsets can be
// set until the first process is in it (time_namespaces(7)).
func (s *spawn) makeTime() error {
	if err := sys.Unshare(unix.CLONE_NEWTIME); err != nil {
		return err
	}
	var lines strings.Builder
	for clock, offset := range s.offsets {
		lines.WriteString(clock + " " + offset + "\n")
	}
	if lines.Len() == 0 {
		return nil
	}
	return sys.WriteProc(sys.ThreadAttr("timens_offsets"), lines.String())
}

// receiver is Conn.Recv or Conn.RecvOnThread.
type receiver func() ([]byte, []*os.File, error)

// reply waits for the child's message with the given tag.
func reply(recv receiver, prog *fork.Program, tag byte, what string) ([]*os.File, error) {
	msg, files, err := recv()
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: the process was killed: %w", what, unix.EPIPE)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if err := prog.Failure(msg); err != nil {
		return nil, err
	}
	if len(msg) != 1 || msg[0] != tag {
		closeAll(files)
		return nil, fmt.Errorf("%s: unexpected message %q", what, msg)
	}
	return files, nil
}

// executed waits until the child's execve has closed the socket.
func executed(conn *sys.Conn, prog *fork.Program) error {
	msg, files, err := conn.Recv()
	if errors.Is(err, io.EOF) {
		return nil
	}
	closeAll(files)
	if err != nil {
		return err
	}
	if err := prog.Failure(msg); err != nil {
		return err
	}
	return fmt.Errorf("exec: unexpected message %q", msg)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // nothing was written
		}
	}
}

// until runs wait, which receives from conn, and ends it with ctx: then the error is
// ctx's. A child that waits for the other end of the socket ends as well.
func until(ctx context.Context, conn *sys.Conn, wait func() error) error {
	stop := context.AfterFunc(ctx, conn.Shutdown)
	err := wait()
	if !stop() { // conn may have been shut down, which looks like the child's end
		return context.Cause(ctx)
	}
	return err
}

// deathLimit is how long a killed child is waited for. It dies within milliseconds,
// unless it is in a system call that no signal ends, as on a file system whose server
// does not answer.
const deathLimit = 2 * time.Second

// errUndead is what abandon says of a child that does not die.
var errUndead = errors.New("it was killed and does not die")

// abandon kills and reaps a child that will not become a process of a container. One
// that does not die, which the error says, is reaped when it does (Reap).
func abandon(c *fork.Child) error {
	err := sys.PidfdSend(c.Pidfd, unix.SIGKILL)
	if errors.Is(err, unix.ESRCH) {
		err = nil
	}
	_, werr := sys.PidfdWaitFor(c.Pidfd, deathLimit)
	if errors.Is(werr, os.ErrDeadlineExceeded) {
		own.leave(c.Pid)
		werr = fmt.Errorf("process %d: %w", c.Pid, errUndead)
	} else {
		own.remove(c.Pid)
	}
	return errors.Join(err, werr, c.Pidfd.Close())
}

// onHost runs f in a goroutine of its own, so by a thread in the shim's namespaces,
// wherever the caller's thread is.
func onHost(f func() error) error {
	done := make(chan error)
	go func() { done <- f() }()
	return <-done
}
