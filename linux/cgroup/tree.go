// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Tree is an exec with all that it has started, in a group that it shares with others. It
// has the processes with its mark, and descendants of those and of its first process.
//
// A process with CAP_SYS_ADMIN in its user namespace can leave the mark by making or
// joining another cgroup namespace. If its parent has left the mark as well, the process
// is not found.
type Tree struct {
	Pid   int      // of the exec's first process
	Pidfd *os.File // likewise; nil: it has none
	Init  int      // pid of the container's init
	Mark  *Mark    // or nil
}

// passes is the number of passes of a kill before the container is frozen meanwhile:
// something in the tree forks as fast as it is killed.
const passes = 8

// killLimit bounds the wait for killed processes to be dead. They need milliseconds, but a
// process that waits in the kernel for a server that does not answer dies later.
const killLimit = 500 * time.Millisecond

// kill kills the tree and returns when nothing of it is left.
//
// It is not enough to signal everything: a process that was about to fork when it
// was killed may still have a child (kernel/fork.c, copy_process). The child is listed
// before its parent is dead. So in the last pass nobody must be found. Nor may anybody
// on the list have died before the pass looked at it: it may have been of the tree, with
// a child that is not on the list.
func (t Tree) kill(p *Place) (err error) {
	if err := t.checkMark(); err != nil {
		return err
	}
	held := false
	defer func() {
		if held {
			err = errors.Join(err, p.g.release())
		}
	}()
	known := map[int]uint64{}
	for pass, last := 1, time.Now(); ; pass++ {
		all, news, sure, err := t.pass(p, known)
		if news > 0 {
			last = time.Now()
		}
		switch {
		case all == 0 && sure:
			return err
		case time.Since(last) > killLimit: // they have their signal, and die as soon as they can
			return err
		case news > 0 && pass >= 4*passes:
			return errors.Join(err, errOutrun)
		case news > 0 && pass >= passes && !held:
			if held, err = p.g.hold(); err != nil {
				return err
			}
		}
		time.Sleep(min(time.Duration(pass)*50*time.Microsecond, 5*time.Millisecond))
	}
}

var errOutrun = fmt.Errorf("kill the exec: it starts processes faster than they are killed: %w", errdefs.ErrAborted)

// checkMark drops a mark that is init's own namespace: the exec could not make one, or
// has joined init's.
func (t *Tree) checkMark() error {
	if t.Mark == nil {
		return nil
	}
	ns, err := sys.NamespaceOf(strconv.Itoa(t.Init), "cgroup")
	if err == nil && ns == t.Mark.inode {
		t.Mark = nil
	}
	return unlessDead(err)
}

// pass kills the processes of the tree that it finds. all is their number. news is the
// number of those that were not in known. pass adds them to known with the time at which
// they began. sure is as in members.
func (t Tree) pass(p *Place, known map[int]uint64) (all, news int, sure bool, err error) {
	members, sure, err := t.members(p, known)
	errs := []error{err, t.signalFirst()}
	for _, m := range members {
		if err := t.signal(m); err != nil {
			errs = append(errs, err)
			continue
		}
		if start, ok := known[m.pid]; !ok || start != m.start {
			known[m.pid] = m.start
			news++
		}
	}
	return len(members), news, sure, errors.Join(errs...)
}

// signalFirst kills the exec's first process. It is killed before its children, because
// their end might make it exit by itself, with another code.
func (t Tree) signalFirst() error {
	if t.Pidfd == nil {
		return nil
	}
	err := sys.PidfdSend(t.Pidfd, unix.SIGKILL)
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return unlessDead(err)
}

// member is a process of a tree, because of its mark or because of its parent.
type member struct {
	pid, parent int
	start       uint64 // sys.ProcStat.Start; 0 where it is marked
}

const marked = -1 // instead of a parent

// signal kills a member by a pidfd. It looks at the process again once that is open, so
// that it does not hit another process that got the pid meanwhile.
func (t Tree) signal(m member) error {
	pidfd, err := sys.PidfdOpen(m.pid)
	if err != nil {
		return unlessDead(err)
	}
	defer pidfd.Close()
	is := false
	if m.parent == marked {
		is, err = t.Mark.on(m.pid)
	} else {
		var stat sys.ProcStat
		stat, err = sys.ReadProcStat(m.pid)
		is = stat.Start == m.start
	}
	if err != nil || !is {
		return unlessDead(err)
	}
	return unlessDead(sys.PidfdSend(pidfd, unix.SIGKILL))
}

// members returns the living processes of the tree, each behind its parent. sure reports
// whether all processes on the list lived until members looked at them. The error is
// about those that it could not look at; it returns the others all the same.
func (t Tree) members(p *Place, known map[int]uint64) (members []member, sure bool, err error) {
	sure = true
	list, err := p.pids()
	errs := []error{err}
	children := map[int][]member{} // those that have no mark, by their parents
	const none = -1
	first := none
	if t.unreaped() {
		first = t.Pid
	}
	for _, pid := range list {
		on, err := t.Mark.on(pid)
		sure = sure && !isDead(err) // an exiting process has no namespaces before it is a zombie
		errs = append(errs, unlessDead(err))
		if on {
			members = append(members, member{pid: pid, parent: marked})
			continue
		}
		stat, err := sys.ReadProcStat(pid)
		sure = sure && err == nil && !stat.Dead
		if err != nil {
			errs = append(errs, unlessDead(err))
			continue
		}
		m := member{pid, stat.Parent, stat.Start}
		// What was killed and is not dead yet may have lost its parent.
		if start, ok := known[pid]; pid == first || ok && start == m.start {
			members = append(members, m)
		} else {
			children[m.parent] = append(children[m.parent], m)
		}
	}
	if first != none && !t.unreaped() { // its pid may have been another's meanwhile
		members = slices.DeleteFunc(members, func(m member) bool { return m.pid == first && m.parent != marked })
		first = none
	}
	members = append(members, children[first]...)
	delete(children, first)
	for i := 0; i < len(members); i++ {
		members = append(members, children[members[i].pid]...)
		delete(children, members[i].pid)
	}
	return members, sure, errors.Join(errs...)
}

// unreaped reports whether the exec's first process has not been waited for yet.
func (t Tree) unreaped() bool {
	pid, err := sys.PidfdPid(t.Pidfd)
	return err == nil && pid == t.Pid
}

// pids returns the pids of the processes among which the tree is.
func (p *Place) pids() ([]int, error) {
	list, err := pids(p.dir)
	if p.kind == withInit && err == nil {
		var more []int
		more, err = pids(p.g.dir)
		list = append(list, more...)
	}
	if gone(err) || errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return list, err
}
