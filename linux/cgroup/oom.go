// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// OOMKills is how many processes of the group and below it the kernel has
// killed for want of memory (memory.events, oom_kill). 0 without the memory
// controller. Read it after the exit of a process and before telling of it: the
// kernel counts before it kills.
func (g *Group) OOMKills() (uint64, error) {
	data, err := readFile(g.dir, "memory.events")
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	return flatKey(string(data), "oom_kill"), err
}

// WatchOOM calls f, from one goroutine, each time that memory.events changed,
// until stop; without the memory controller, never. Each WatchOOM needs its stop.
// Changes that follow each other closely are one call. stop waits for a call
// that is under way, may be called more than once, and must not be called by f.
func (g *Group) WatchOOM(f func()) (stop func(), err error) {
	w, err := newWatch(g.dir, "memory.events")
	if errors.Is(err, unix.ENOENT) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := w.read(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for w.change(context.Background(), 0) == nil {
			if _, err := w.read(); err != nil {
				return // the group is gone
			}
			f()
		}
	}()
	return sync.OnceFunc(func() {
		w.Close()
		<-done
	}), nil
}
