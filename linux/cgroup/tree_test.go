// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/sys"
)

// treeRig is a container's group with an init in it.
type treeRig struct {
	*testing.T
	g    *Group
	init *exec.Cmd
	cmds map[int]*exec.Cmd // of execs, by pid
}

func newTreeRig(t *testing.T) *treeRig {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	r := &treeRig{t, g, into(t, g.Dir(), "exec sleep 60"), map[int]*exec.Cmd{}}
	t.Cleanup(func() { _ = g.Kill() }) // what no command is waited for
	return r
}

// exec runs a script as an exec does in the container, as marked says.
func (r *treeRig) exec(marked bool, script string) (Tree, *Place) {
	r.Helper()
	p, err := r.g.Place(r.init.Process.Pid, true)
	if err != nil {
		r.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(p.Dir().Fd()), Pdeathsig: syscall.SIGKILL}
	if marked {
		cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWCGROUP
	}
	if err := cmd.Start(); err != nil {
		r.Fatal(err)
	}
	r.cmds[cmd.Process.Pid] = cmd
	r.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t := Tree{Pid: cmd.Process.Pid, Init: r.init.Process.Pid}
	if t.Pidfd, err = sys.PidfdOpen(t.Pid); err != nil {
		r.Fatal(err)
	}
	if t.Mark, err = OpenMark(t.Pid); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		if err := t.Mark.Close(); err != nil {
			r.Error(err)
		}
		t.Pidfd.Close()
	})
	return t, p
}

// has waits until there are n processes in the group.
func (r *treeRig) has(n int) {
	r.Helper()
	for end := time.Now().Add(testenv.Patience(patience)); ; time.Sleep(time.Millisecond) {
		list, err := r.g.Pids()
		if err != nil {
			r.Fatal(err)
		}
		if len(list) == n {
			return
		}
		if time.Now().After(end) {
			r.Fatalf("%d processes in the group, not %d", len(list), n)
		}
	}
}

func (r *treeRig) kill(t Tree, p *Place) {
	r.Helper()
	if err := p.Kill(t); err != nil {
		r.Fatal(err)
	}
}

// TestTreeIsKilled: daemons of the exec die, and nobody else does.
func TestTreeIsKilled(t *testing.T) {
	r := newTreeRig(t)
	const daemons = "(setsid sleep 61 &) ; (setsid sh -c 'sleep 62 & wait' &) ; sleep 63"
	tree, place := r.exec(true, daemons)
	r.exec(true, daemons) // a neighbour
	r.exec(false, "sleep 64 & wait")
	r.has(1 + 5 + 5 + 2)
	r.kill(tree, place)
	r.has(1 + 5 + 2)
	if err := r.init.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("init: %v", err)
	}
}

// Groups below the container's are looked at, too.
func TestTreeInSubgroups(t *testing.T) {
	r := newTreeRig(t)
	sub := filepath.Join(r.g.h.Mountpoint, r.g.Path(), "a")
	if err := os.MkdirAll(sub+"/b", 0o755); err != nil {
		t.Fatal(err)
	}
	tree, place := r.exec(
		true,
		"echo 0 >"+sub+"/cgroup.procs; (setsid sleep 61 &); echo 0 >"+sub+"/b/cgroup.procs; exec sleep 62",
	)
	r.has(1 + 2)
	r.kill(tree, place)
	r.has(1)
}

// A process that has made a namespace of its own, as a nested runtime does, is found by
// its parent; one without a parent in the tree is not, as cgroup/mark.go says.
func TestTreeWithoutTheMark(t *testing.T) {
	r := newTreeRig(t)
	tree, place := r.exec(true, "(setsid sh -c 'unshare -C sh -c \"sleep 61 & sleep 62\" & wait' &) ; exec sleep 63")
	r.has(1 + 5)
	r.kill(tree, place)
	r.has(1)

	tree, place = r.exec(false, "sleep 61 & (sleep 62 & wait) & wait")
	r.exec(false, "sleep 64 & wait")
	r.has(1 + 4 + 2)
	r.kill(tree, place)
	r.has(1 + 2)
}

// An exec that could make no mark, or has gone to init's namespace, has init's: that is
// no mark.
func TestTreeWithInitsNamespace(t *testing.T) {
	r := newTreeRig(t)
	tree, place := r.exec(false, "sleep 61 & wait")
	mark, err := sys.NamespaceOf(strconv.Itoa(r.init.Process.Pid), "cgroup")
	if err != nil || tree.Mark.inode != mark {
		t.Fatalf("%v is not init's namespace %v: %v", tree.Mark, mark, err)
	}
	r.has(1 + 2)
	r.kill(tree, place)
	r.has(1)
	if err := r.init.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("init: %v", err)
	}
}

// TestTreeOfAReapedProcess: its pid says nothing any more, its mark does.
func TestTreeOfAReapedProcess(t *testing.T) {
	r := newTreeRig(t)
	tree, place := r.exec(true, "(setsid sleep 61 &); sleep 62 & wait")
	r.has(1 + 3)
	if err := sys.PidfdSend(tree.Pidfd, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = r.cmds[tree.Pid].Wait() // killed
	if tree.unreaped() {
		t.Error("a process that was waited for is there")
	}
	if err := place.Kill(tree); err != nil {
		t.Fatal(err)
	}
	r.has(1)
}

// A frozen container's execs die, and it stays frozen.
func TestTreeInAFrozenGroup(t *testing.T) {
	r := newTreeRig(t)
	tree, place := r.exec(true, "(setsid sleep 61 &) ; sleep 63")
	r.has(1 + 3)
	if err := r.g.Freeze(within(t)); err != nil {
		t.Fatal(err)
	}
	r.kill(tree, place)
	r.has(1)
	if text, err := r.g.Read("cgroup.freeze"); text != "1\n" || err != nil {
		t.Errorf("cgroup.freeze is %q, %v", text, err)
	}
	if err := r.g.Thaw(within(t)); err != nil {
		t.Fatal(err)
	}
}

// TestTreeThatForks: it does not outrun the kill, and the container is not left frozen,
// unless it was paused meanwhile.
func TestTreeThatForks(t *testing.T) {
	r := newTreeRig(t)
	for range 3 {
		// Each of these forks a daemon of its own kind and ends, as fast as it can.
		tree, place := r.exec(true, bomb(t))
		for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			if list, err := r.g.Pids(); len(list) > 20 || err != nil {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the bomb does not go off")
			}
		}
		r.kill(tree, place)
		r.has(1)
		if text, err := r.g.Read("cgroup.freeze"); text != "0\n" || err != nil {
			t.Errorf("cgroup.freeze is %q, %v", text, err)
		}
	}
}

// bomb is a script of which about fifty processes each become another process without
// end.
func bomb(t *testing.T) string {
	file := filepath.Join(t.TempDir(), "bomb")
	if err := os.WriteFile(file, []byte("#!/bin/sh\nsetsid "+file+" &\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return "i=0; while [ $i -lt 50 ]; do " + file + "; i=$((i+1)); done; sleep 60"
}

// TestHold: a hold and a pause do not undo each other.
func TestHold(t *testing.T) {
	r := newTreeRig(t)
	frozen := func(when, want string) {
		t.Helper()
		if text, err := r.g.Read("cgroup.freeze"); strings.TrimSpace(text) != want || err != nil {
			t.Errorf("%s: cgroup.freeze is %q, %v", when, text, err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	hold := func(want bool) {
		t.Helper()
		if held, err := r.g.hold(); held != want || err != nil {
			t.Fatalf("held %v, %v", held, err)
		}
	}
	hold(true)
	hold(true)
	frozen("held twice", "1")
	must(r.g.release())
	frozen("released once", "1")
	must(r.g.Freeze(within(t)))
	must(r.g.release())
	frozen("paused while it was held", "1")
	hold(true)
	must(r.g.pause(false))
	frozen("resumed while it is held", "1")
	must(r.g.release())
	frozen("released", "0")
	must(r.g.Write("cgroup.freeze", "1"))
	hold(false) // somebody else has frozen it
	frozen("somebody else's", "1")
	must(r.g.Write("cgroup.freeze", "0"))
}

// A process whose first thread has ended is a zombie to /proc/PID and has the mark.
func TestTreeWithoutItsFirstThread(t *testing.T) {
	r := newTreeRig(t)
	tree, place := r.exec(true, "("+firstThreadEnv+"=ends setsid "+os.Args[0]+" &) ; sleep 63")
	r.has(1 + 3)
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		list, err := r.g.Pids()
		if err != nil {
			t.Fatal(err)
		}
		zombies := 0
		for _, pid := range list {
			if _, err := sys.NamespaceOf(strconv.Itoa(pid), "cgroup"); isDead(err) {
				zombies++
			}
		}
		if zombies == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no process without its first thread")
		}
	}
	r.kill(tree, place)
	r.has(1)
}

// firstThreadEnv, when it is set, makes the test's program one whose first thread ends.
const firstThreadEnv = "MINI_TEST_FIRST_THREAD"

func init() {
	if os.Getenv(firstThreadEnv) == "" {
		return
	}
	other := make(chan bool)
	go func() {
		close(other)
		_, _ = unix.Poll(nil, -1)
	}()
	<-other
	time.Sleep(10 * time.Millisecond) // the other has a thread, and is in its call
	// An init function runs on the first thread.
	_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
}
