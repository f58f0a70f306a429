// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/containerd-mini/mini/integration/testenv"
)

func TestWatchSeesEachChange(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	w, err := newWatch(g.Dir(), "cgroup.events")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for range 20 {
		cmd := into(t, g.Dir(), "exec sleep 60")
		if err := w.until(within(t), "populated", 1); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := w.until(within(t), "populated", 0); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
}

func TestWatchEnds(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	w, err := newWatch(g.Dir(), "cgroup.events")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.read(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- w.change(context.Background(), 0) }()
	select {
	case err := <-done:
		t.Fatalf("nothing changed: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestWatchOfARemovedGroup(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	w, err := newWatch(g.Dir(), "cgroup.events")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := g.Delete(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := w.until(within(t), "populated", 1); !gone(err) {
		t.Errorf("%v", err)
	}
}
