// SPDX-License-Identifier: Apache-2.0

package process

import (
	"sync"
	"sync/atomic"

	"github.com/containerd/log"

	"github.com/containerd-mini/mini/linux"
)

// oomWatch announces OOM kills of a container: once for each time that the
// kernel's count is found to have grown, so once for a burst. Kills are looked
// for when the kernel tells of a change and before each exit is announced, so
// the OOM always comes before the exit it caused.
type oomWatch struct {
	linux    *linux.Container
	log      *log.Entry
	announce func()
	stop     func() // ends the kernel's notices; returns when the last is dealt with

	// mu is held over the announcement, which only queues, so that none is made
	// twice. No request waits for it.
	mu   sync.Mutex
	seen uint64 // guarded by mu

	killed atomic.Bool // by us: not each SIGKILL is the kernel's
}

// start watches c. A container that cannot be watched runs nevertheless, as
// under runc's shim, and its kills are found at the exits.
func (w *oomWatch) start() {
	stop, err := w.linux.WatchOOM(func() { w.check(false) })
	if err != nil {
		w.log.WithError(err).Error("watch for OOM kills")
		stop = func() {}
	}
	w.stop = stop
}

// check announces the kills since the last check. shot says that a process was
// ended by SIGKILL: where the container's cgroup is gone already, and the kills may
// be another's, they are then taken for its own, unless we sent the signal.
func (w *oomWatch) check(shot bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kills, sure, err := w.linux.OOMKills()
	if err != nil {
		w.log.WithError(err).Error("read OOM kills")
		return
	}
	if !sure && (!shot || w.killed.Load()) {
		return
	}
	if kills > w.seen {
		w.seen = kills
		w.announce()
	}
}
