// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// patience bounds what a test waits for; nothing is that slow.
const patience = 20 * time.Second

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// into starts a shell command in the cgroup directory.
func into(t testing.TB, dir *os.File, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd()), Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

func exists(h *Hierarchy, path string) bool {
	_, err := os.Stat(filepath.Join(h.Mountpoint, path))
	return err == nil
}

func TestGroupIsMadeAndDeletedWithItsParents(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	a := newGroup(t, h, base+"/p/q/a")
	b := newGroup(t, h, base+"/p/q/b")
	if a.Path() != base+"/p/q/a" || !exists(h, a.Path()) {
		t.Fatalf("made %s", a.Path())
	}
	if err := a.Delete(within(t)); err != nil {
		t.Fatal(err)
	}
	if exists(h, a.Path()) || !exists(h, b.Path()) {
		t.Error("a is there, or its sibling is not")
	}
	if err := b.Delete(within(t)); err != nil {
		t.Fatal(err)
	}
	if exists(h, base+"/p") {
		t.Error("the parents that a made stay behind b")
	}
	if !exists(h, base) {
		t.Error("a parent that was there before went away")
	}
	if err := b.Delete(within(t)); err != nil {
		t.Errorf("a second delete: %v", err)
	}
	if _, err := b.Stats(); err == nil {
		t.Error("a deleted group has stats")
	}
	if _, err := b.Pids(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("pids of a deleted group: %v", err)
	}
}

func TestCreateRefusesAGroupOfOthers(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	refused := func(why string) {
		t.Helper()
		_, err := h.Create(base+"/c", nil)
		if !errors.Is(err, errdefs.ErrFailedPrecondition) || !strings.Contains(err.Error(), base+"/c: "+why) {
			t.Errorf("%v; want %q", err, why)
		}
		if !exists(h, base+"/c") {
			t.Error("a refused group was removed")
		}
	}
	g := newGroup(t, h, base+"/c")
	again := newGroup(t, h, base+"/c") // empty: it is taken
	if again.Path() != g.Path() {
		t.Error(again.Path())
	}
	if err := g.Freeze(within(t)); err != nil {
		t.Fatal(err)
	}
	refused("it is frozen")
	if err := g.Thaw(within(t)); err != nil {
		t.Fatal(err)
	}
	into(t, g.Dir(), "sleep 60")
	refused("it has processes")
}

func TestCreateBelowAThreadedGroup(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	thread := filepath.Join(h.Mountpoint, base, "thread")
	if err := os.Mkdir(thread, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(thread+"/cgroup.type", []byte("threaded"), 0); err != nil {
		t.Fatal(err)
	}
	_, err := h.Create(base+"/c", nil)
	if !errors.Is(err, errdefs.ErrFailedPrecondition) || !strings.Contains(err.Error(), "domain invalid") {
		t.Error(err)
	}
	if exists(h, base+"/c") {
		t.Error("what was made stays")
	}
}

func TestCreateUndoesWhatItMadeForWantOfAController(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	if h.Controllers.Has("memory") {
		t.Skip("this machine's cgroup2 has a memory controller")
	}
	_, err := h.Create(base+"/p/c", resources(t, `{"memory":{"limit":4096}}`))
	if !errors.Is(err, errdefs.ErrNotImplemented) || !strings.Contains(err.Error(), "linux.resources.memory.limit") {
		t.Error(err)
	}
	if exists(h, base+"/p") {
		t.Error("something was made")
	}
	g := newGroup(t, h, base+"/p/c")
	if err := g.Update(resources(t, `{"memory":{"limit":4096}}`)); !errors.Is(err, errdefs.ErrNotImplemented) {
		t.Error(err)
	}
	if err := g.Update(resources(t, `{"cpu":{"shares":1024},"unified":{"cgroup.max.descendants":"7"}}`)); err != nil {
		t.Error(err)
	}
	if data, err := readFile(g.Dir(), "cgroup.max.descendants"); string(data) != "7\n" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}

func TestOpenAfterTheShimsDeath(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	base := testBase(t, h)
	if _, err := h.Open(base + "/none"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("a group that is not there: %v", err)
	}
	g := newGroup(t, h, base+"/p/c")
	into(t, g.Dir(), "sleep 60 & sleep 60")
	if err := os.MkdirAll(filepath.Join(h.Mountpoint, g.Path(), "x/y"), 0o755); err != nil {
		t.Fatal(err)
	}
	other, err := OpenHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	late, err := other.Open(base + "/p/c")
	if err != nil {
		t.Fatal(err)
	}
	if err := late.Delete(within(t)); err != nil {
		t.Fatal(err)
	}
	if exists(h, base+"/p") {
		t.Error("the group or the parent that was made for it is still there")
	}
}

func TestRemoveEmptyLeavesWhatIsInUse(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/p/c")
	cmd := into(t, g.Dir(), "exec sleep 60")
	if err := g.RemoveEmpty(); err != nil || !exists(h, g.Path()) {
		t.Errorf("with a process: there %v, %v", exists(h, g.Path()), err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := g.WaitEmpty(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := g.RemoveEmpty(); err != nil || exists(h, filepath.Dir(g.Path())) {
		t.Errorf("empty: %v", err)
	}
	if err := g.RemoveEmpty(); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestPidsAreHierarchical(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	if list, err := g.Pids(); len(list) != 0 || err != nil {
		t.Fatalf("an empty group: %v, %v", list, err)
	}
	if busy, err := g.Populated(); busy || err != nil {
		t.Fatalf("an empty group is populated: %v", err)
	}
	slot, err := g.Slot()
	if err != nil {
		t.Fatal(err)
	}
	own, sub := into(t, g.Dir(), "exec sleep 60"), into(t, slot.Dir(), "exec sleep 60")
	list, err := g.Pids()
	slices.Sort(list)
	want := []int{own.Process.Pid, sub.Process.Pid}
	slices.Sort(want)
	if !slices.Equal(list, want) || err != nil {
		t.Errorf("%v, %v; want %v", list, err, want)
	}
	if busy, err := g.Populated(); !busy || err != nil {
		t.Errorf("not populated: %v", err)
	}
}

func TestKillAndWaitEmpty(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	if err := g.WaitEmpty(within(t)); err != nil {
		t.Fatalf("an empty group: %v", err)
	}
	cmd := into(t, g.Dir(), "while :; do sleep 0.01 & done")
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := g.WaitEmpty(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a process in it: %v", err)
	}
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := g.WaitEmpty(within(t)); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != unix.SIGKILL {
		t.Errorf("ended with %v", cmd.ProcessState)
	}
}

func TestFreezeStopsEveryProcess(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	out := filepath.Join(t.TempDir(), "ticks")
	cmd := into(t, g.Dir(), "while :; do echo x >>"+out+"; sleep 0.002; done")
	size := func() int64 {
		st, err := os.Stat(out)
		if err != nil {
			return 0
		}
		return st.Size()
	}
	grows := func(limit time.Duration) bool {
		was := size()
		for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
			if size() > was {
				return true
			}
		}
		return false
	}
	if !grows(patience) {
		t.Fatal("the process does not run")
	}
	if err := g.Freeze(within(t)); err != nil {
		t.Fatal(err)
	}
	if grows(50 * time.Millisecond) {
		t.Error("a frozen process runs")
	}
	if err := g.Freeze(within(t)); err != nil {
		t.Errorf("freezing twice: %v", err)
	}
	if err := g.Thaw(within(t)); err != nil {
		t.Fatal(err)
	}
	if !grows(patience) {
		t.Error("a thawed process does not run")
	}
	if err := g.Freeze(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := g.Delete(within(t)); err != nil { // kills what is frozen
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

// A process that ptrace or vfork holds cannot be frozen: the freeze ends with
// ctx and is undone.
func TestFreezeThatDoesNotEnd(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	into(t, g.Dir(), "exec sleep 60")
	err := g.Freeze(ctx)
	if err == nil {
		t.Skip("the process froze at once")
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if data, err := readFile(g.Dir(), "cgroup.freeze"); string(data) != "0\n" || err != nil {
		t.Errorf("cgroup.freeze is %q, %v", data, err)
	}
}

func TestDelegate(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	if err := g.Delegate(1000, 1001); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint32{".": 1000, "cgroup.procs": 1000, "cgroup.subtree_control": 1000, "cgroup.freeze": 0, "cgroup.kill": 0} {
		var st unix.Stat_t
		if err := unix.Fstatat(int(g.Dir().Fd()), name, &st, 0); err != nil || st.Uid != want {
			t.Errorf("%s belongs to %d, %v; want %d", name, st.Uid, err, want)
		}
	}
}
