// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux"
	"github.com/containerd-mini/mini/linux/relay"
)

func TestMain(m *testing.M) {
	// Package linux opens once and for good: what it makes children with,
	if wait, err := linux.StartHelper(context.Background(), exec.Command("/bin/true")); err != nil || wait() != nil {
		panic(err)
	}
	// and the cgroup hierarchy.
	dir, err := os.MkdirTemp("", testenv.CgroupPrefix())
	if err != nil {
		panic(err)
	}
	_, _ = Cleanup(dir, "none")
	if err := os.Remove(dir); err != nil {
		panic(err)
	}
	// As does package relay its epoll instance.
	r, err := relay.New(nil)
	if err != nil {
		panic(err)
	}
	r.Stop()
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() != "" { // containers in this process open more of that
		os.Exit(m.Run())
	}
	os.Exit(testenv.Main(m, testenv.CgroupPrefix()))
}

// The table again, as a reader would draw it: every move that there is. A state
// that a line does not name refuses the operation.
const drawn = `
start          created>starting
started        starting>running exiting>exiting stopped>stopped deleting>deleting deleted>deleted
start failed   starting>created exiting>exiting stopped>stopped deleting>deleting deleted>deleted
exec failed    starting>failed
pause          running>pausing
paused         pausing>paused exiting>exiting stopped>stopped deleting>deleting deleted>deleted
pause failed   pausing>running exiting>exiting stopped>stopped deleting>deleting deleted>deleted
resume         paused>resuming
resumed        resuming>running exiting>exiting stopped>stopped deleting>deleting deleted>deleted
resume failed  resuming>paused exiting>exiting stopped>stopped deleting>deleting deleted>deleted
checkpoint     running>dumping paused>dumpingpaused
checkpointed   dumping>running dumpingpaused>paused exiting>exiting stopped>stopped deleting>deleting deleted>deleted
restore        prepared>restoring
restored       restoring>running
restore failed restoring>prepared
discard        created>discarding
discard failed discarding>created exiting>exiting stopped>stopped deleting>deleting deleted>deleted
delete         created>deleting prepared>dropping failed>deleting stopped>deleting
deleted        deleting>deleted dropping>deleted
delete failed  deleting>stopped dropping>prepared
exit           created>exiting starting>exiting running>exiting pausing>exiting paused>exiting resuming>exiting discarding>exiting dumping>exiting dumpingpaused>exiting
stop           exiting>stopped
exec           created>created starting>starting running>running
kill           created>created starting>starting running>running pausing>pausing paused>paused resuming>resuming discarding>discarding restoring>restoring dumping>dumping dumpingpaused>dumpingpaused
kill exec      starting>starting running>running
update         created>created starting>starting running>running pausing>pausing paused>paused resuming>resuming prepared>prepared restoring>restoring dumping>dumping dumpingpaused>dumpingpaused
resize         created>created starting>starting running>running pausing>pausing paused>paused resuming>resuming prepared>prepared restoring>restoring dumping>dumping dumpingpaused>dumpingpaused exiting>exiting
pids           created>created starting>starting running>running pausing>pausing paused>paused resuming>resuming discarding>discarding prepared>prepared restoring>restoring dumping>dumping dumpingpaused>dumpingpaused exiting>exiting stopped>stopped deleting>deleting dropping>dropping
`

var drawnOps = map[string]op{
	"start": opStart, "started": opStarted, "start failed": opStartFailed, "exec failed": opExecFailed,
	"pause": opPause, "paused": opPaused, "pause failed": opPauseFailed, "resume": opResume, "resumed": opResumed,
	"resume failed": opResumeFailed, "discard": opDiscard, "discard failed": opDiscardFailed, "delete": opDelete,
	"deleted": opDeleted, "delete failed": opDeleteFailed, "exit": opExit, "stop": opStop, "exec": opExec,
	"kill": opKill, "kill exec": opKillExec, "update": opUpdate, "resize": opResize, "pids": opPids,
	"checkpoint": opCheckpoint, "checkpointed": opCheckpointed,
	"restore": opRestore, "restored": opRestored, "restore failed": opRestoreFailed,
}

var drawnStates = map[string]State{
	"created": Created, "starting": Starting, "running": Running, "pausing": Pausing, "paused": Paused,
	"resuming": Resuming, "discarding": Discarding, "failed": Failed, "exiting": Exiting, "stopped": Stopped,
	"deleting": Deleting, "deleted": Deleted, "prepared": Prepared, "dropping": Dropping,
	"restoring": Restoring, "dumping": Dumping, "dumpingpaused": DumpingPaused,
}

func TestEveryOperationInEveryState(t *testing.T) {
	want := map[op]map[State]State{}
	for line := range strings.Lines(strings.TrimSpace(drawn)) {
		name, moves := strings.TrimSpace(line[:15]), line[15:]
		o, ok := drawnOps[name]
		if !ok {
			t.Fatalf("no operation %q", name)
		}
		want[o] = map[State]State{}
		for move := range strings.FieldsSeq(moves) {
			from, to, _ := strings.Cut(move, ">")
			if drawnStates[from] == none || drawnStates[to] == none {
				t.Fatalf("%s: bad move %q", name, move)
			}
			want[o][drawnStates[from]] = drawnStates[to]
		}
	}
	if len(want) != int(opCount) || len(drawnStates) != int(stateCount)-1 {
		t.Fatalf("drawn are %d operations and %d states, there are %d and %d",
			len(want), len(drawnStates), opCount, stateCount-1)
	}
	for o := range opCount {
		for s := Created; s < stateCount; s++ {
			next, err := s.next(o)
			expect, legal := want[o][s]
			switch {
			case legal && (err != nil || next != expect):
				t.Errorf("%s of a process %s: got %s, %v, want %s", opNames[o], s, next, err, expect)
			case !legal && err == nil:
				t.Errorf("%s of a process %s: leads to %s, want a refusal", opNames[o], s, next)
			case !legal && next != s:
				t.Errorf("%s of a process %s: refused, but the state is %s", opNames[o], s, next)
			}
		}
	}
}

func TestRefusalsHaveTheCodesOfRuncsShim(t *testing.T) {
	notFound := map[op][]State{
		opKill:     {Failed, Prepared, Dropping, Exiting, Stopped, Deleting, Deleted},
		opKillExec: {Exiting, Stopped, Deleting, Deleted},
		opDelete:   {Deleted}, opDiscard: {Deleted}, opPids: {Deleted},
	}
	for o := range opCount {
		for s := Created; s < stateCount; s++ {
			_, err := s.next(o)
			if err == nil {
				continue
			}
			var want error = errdefs.ErrFailedPrecondition
			for _, n := range notFound[o] {
				if n == s {
					want = errdefs.ErrNotFound
				}
			}
			if o == opKill && s == Failed { // there is no such init
				continue
			}
			if !errors.Is(err, want) {
				t.Errorf("%s of a process %s: %v is not %v", opNames[o], s, err, want)
			}
		}
	}
}

func TestRefusalsAreSentences(t *testing.T) {
	for _, c := range []struct {
		o    op
		s    State
		want string
	}{
		{opDelete, Running, "delete container c: it is running"},
		{opPause, Stopped, "pause container c: it is stopped"},
		{opExec, Paused, "exec in container c: it is paused"},
		{opKill, Stopped, "kill container c: process already finished"},
		{opKillExec, Created, "kill container c: process not created"},
		{opDelete, Deleted, "delete container c: it is deleted"},
		{opKill, Prepared, "kill container c: process not created"},
		{opStart, Exiting, "start container c: it is exiting"},
	} {
		p := newProcess(&Container{id: "c"}, "c", Stdio{})
		p.container.init = p
		p.state = c.s
		if err := p.may(c.o); fmt.Sprint(err) != c.want {
			t.Errorf("got %q, want %q", err, c.want)
		}
	}
}

// Every claim leads back or on, whatever its result, also when the exit comes
// first; and from every state there is a way to the end.
func TestNoStateIsATrap(t *testing.T) {
	results := map[op][]op{
		opStart: {opStarted, opStartFailed}, opPause: {opPaused, opPauseFailed},
		opResume: {opResumed, opResumeFailed}, opDiscard: {opDiscardFailed}, opCheckpoint: {opCheckpointed},
	}
	for claim, outcomes := range results {
		for s := Created; s < stateCount; s++ {
			claimed, err := s.next(claim)
			if err != nil {
				continue
			}
			for _, o := range outcomes {
				if next, err := claimed.next(o); err != nil || next == claimed {
					t.Errorf("%s: result does not leave %s: %v", opNames[claim], claimed, err)
				}
				exiting, err := claimed.next(opExit)
				if err != nil {
					t.Errorf("a process cannot end while %s: %v", claimed, err)
				}
				if next, err := exiting.next(o); err != nil || next != exiting {
					t.Errorf("%s: result after the exit: %s, %v", opNames[claim], next, err)
				}
			}
		}
	}
	for _, o := range []op{opRestored, opRestoreFailed} { // no init that could end before
		if next, err := Restoring.next(o); err != nil || next == Restoring {
			t.Errorf("%s: result does not leave %s: %v", opNames[o], Restoring, err)
		}
	}
	for _, s := range []State{Prepared, Stopped} { // what never ran has not stopped
		claimed, err := s.next(opDelete)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := claimed.next(opDeleteFailed); err != nil || back != s {
			t.Errorf("a delete that fails leads from %s to %s, %v", s, back, err)
		}
	}
	for s := Created; s < stateCount; s++ {
		if !reaches(s, Deleted, map[State]bool{}) {
			t.Errorf("nothing leads from %s to the end", s)
		}
	}
}

func reaches(s, end State, seen map[State]bool) bool {
	if s == end {
		return true
	}
	seen[s] = true
	for o := range opCount {
		if next, err := s.next(o); err == nil && !seen[next] && reaches(next, end, seen) {
			return true
		}
	}
	return false
}

// Whoever sees that a process has stopped sees how it ended.
func TestStoppedComesWithTheExit(t *testing.T) {
	for range 100_000 {
		p := newProcess(&Container{id: "c"}, "c", Stdio{})
		p.container.init = p
		p.state = Exiting
		seen := make(chan Status)
		go func() {
			for {
				if s := p.Status(); s.State == Stopped {
					seen <- s
					return
				}
				runtime.Gosched()
			}
		}()
		runtime.Gosched()
		p.stop(Exit{Code: 5, At: time.Now()})
		if s := <-seen; s.Exit.Code != 5 || s.Exit.At.IsZero() {
			t.Fatalf("stopped with %+v", s.Exit)
		}
	}
}
