// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/containerd/log"
	"github.com/containerd/ttrpc"

	"github.com/containerd-mini/mini/linux/host"
)

// A shim is one of many on its machine, and mostly it waits. What it takes to
// start, and to make a container, is several times what it needs from then on:
// that memory is given back when nothing was asked of the shim for settleTime.
// Until then there is no garbage collection, which would run beside the making
// of the container and find little. What later requests took is given back
// after a longer rest, so that a probe every ten seconds does not pay each time
// for the return of what it uses.
const (
	gcPercent  = 40       // GOGC after the first rest
	busyLimit  = 32 << 20 // heap in bytes at which garbage is collected before
	settleTime = time.Second
	restTime   = 30 * time.Second
)

// trimmer gives memory back.
type trimmer struct {
	settling atomic.Bool // a container was made since the last time
	timer    *time.Timer
}

func newTrimmer() *trimmer {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(busyLimit)
	t := new(trimmer)
	t.settling.Store(true)
	t.timer = time.AfterFunc(settleTime, t.trim)
	return t
}

func (t *trimmer) trim() {
	t.settling.Store(false)
	debug.SetGCPercent(gcPercent)
	debug.FreeOSMemory()
	if err := host.ReleaseImage(); err != nil {
		log.L.WithError(err).Debug("release image")
	}
}

// intercept wraps a server's interceptor.
func (t *trimmer) intercept(inner ttrpc.UnaryServerInterceptor) ttrpc.UnaryServerInterceptor {
	return func(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
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
