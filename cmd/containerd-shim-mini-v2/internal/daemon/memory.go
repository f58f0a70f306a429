// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/containerd/log"
	"github.com/containerd/ttrpc"

	"github.com/containerd-mini/mini/linux/host"
)

// A shim is one of many on its machine, and mostly it waits. It starts without
// garbage collection, which would run beside the making of the container, find
// little, and take more for its own books than it frees: 0.3 MB were measured.
// So garbage is collected only from busyLimit up, and from settleTime after the
// last container was made by gcPercent, of which the runtime makes 4 MB * 60%
// at least.
//
// The pages of the program's file, most of which are used to start and to make
// a container and hardly afterwards, are given back at that time too: 5 MB.
//
// After a longer rest, what was used meanwhile is given back: not earlier, so
// that a probe every ten seconds does not pay each time for the return of what
// it uses.
const (
	busyLimit  = 32 << 20 // bytes
	gcPercent  = 60       // GOGC
	settleTime = time.Second
	restTime   = 30 * time.Second

	// restProcs is GOMAXPROCS once the first container was made. A shim mostly
	// waits: for requests, for children, in system calls that leave the processor
	// to others. With one processor an exec takes 5 % less than with two, as
	// goroutines follow each other without a switch of threads.
	restProcs = 1
)

// trimmer gives memory back.
type trimmer struct {
	settling    atomic.Bool // a container was made since the last time
	timer       *time.Timer
	collections int64 // garbage collections up to the last time; trim's
}

func newTrimmer() *trimmer {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(busyLimit)
	t := new(trimmer)
	t.settling.Store(true)
	t.timer = time.AfterFunc(settleTime, t.trim)
	return t
}

// trim runs when nothing was asked of the shim for a while. The timer does not
// start it a second time before the first is over: these are seconds apart.
func (t *trimmer) trim() {
	t.settling.Store(false)
	runtime.GOMAXPROCS(restProcs)
	debug.SetGCPercent(gcPercent)
	var stats debug.GCStats
	debug.ReadGCStats(&stats)
	if stats.NumGC > t.collections {
		debug.FreeOSMemory() // which collects once more
		t.collections = stats.NumGC + 1
	}
	if err := host.ReleaseImage(); err != nil {
		log.L.WithError(err).Debug("release image")
	}
}

// intercept wraps a server's interceptor.
func (t *trimmer) intercept(inner ttrpc.UnaryServerInterceptor) ttrpc.UnaryServerInterceptor {
	return func(
		ctx context.Context,
		unmarshal ttrpc.Unmarshaler,
		info *ttrpc.UnaryServerInfo,
		method ttrpc.Method,
	) (any, error) {
		if info.FullMethod == "/containerd.task.v3.Task/Create" || info.FullMethod == "/containerd.task.v2.Task/Create" {
			t.settling.Store(true)
		}
		if t.settling.Load() {
			t.timer.Reset(settleTime)
		} else {
			t.timer.Reset(restTime)
		}
		return inner(ctx, unmarshal, info, method)
	}
}
