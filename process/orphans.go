// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/containerd/log"

	"github.com/containerd-mini/mini/linux"
)

// ReapOrphans takes the exit status of processes that a container without a pid
// namespace of its own left to the shim, until stop is called; stop waits for
// the goroutine. Precondition: the process is a subreaper, or there will be none.
func ReapOrphans() (stop func()) {
	// One pending signal is enough: each reap takes all there are.
	signals := make(chan os.Signal, 1)
	done := make(chan struct{})
	signal.Notify(signals, syscall.SIGCHLD)
	go func() {
		defer close(done)
		for range signals {
			if err := linux.Reap(); err != nil {
				log.L.WithError(err).Error("reap orphans")
			}
		}
	}()
	return sync.OnceFunc(func() {
		signal.Stop(signals)
		close(signals)
		<-done
	})
}
