// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/containerd/log"
)

// maxDump bounds a stack dump.
const maxDump = 8 << 20

// handleSignals calls stop at the first signal that asks the process to end, and
// logs all stacks at each SIGUSR1. SIGPIPE is caught so that a lost log reader
// ends nobody. SIGCHLD belongs to package process.
func handleSignals(stop func(os.Signal)) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGPIPE)
	go func() {
		for s := range signals {
			switch s {
			case syscall.SIGPIPE:
			case syscall.SIGUSR1:
				log.L.Infof("all goroutines:\n%s", stacks())
			default:
				stop(s)
			}
		}
	}()
}

// stacks returns the stack traces of all goroutines.
func stacks() []byte {
	for size := 64 << 10; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size || size >= maxDump {
			return buf[:n]
		}
	}
}
