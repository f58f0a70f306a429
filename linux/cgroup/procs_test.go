// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-mini/mini/integration/testenv"
	"golang.org/x/sys/unix"
)

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
