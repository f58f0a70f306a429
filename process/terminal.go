// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"time"

	"github.com/containerd/log"

	"github.com/containerd-mini/mini/linux"
)

// hangupGrace bounds the time after a process's death that another process (a grandchild
// of an exec) may keep its terminal open. After it the written bytes are moved and the
// output ends. Under runc's shim it ends at once. It does not here, because the kernel
// delivers a terminal's last bytes by a work queue.
const hangupGrace = 100 * time.Millisecond

// terminal is the pty of a process, between whose master, which linux.Process owns, and
// what containerd named an output and an input move the bytes.
//
// The shim has a slave open as well until the process is dead: a master whose slaves
// have all been closed reads EIO, which looks like the end, but a process may close all
// and open /dev/console again, as systemd does.
type terminal struct {
	streams *streams
	console *os.File      // set by start
	slave   *os.File      // set by start
	done    chan struct{} // closed when the terminal's output has ended; nil without one
}

func newTerminal(s *streams) *terminal { return &terminal{streams: s} }

// start begins to move.
func (t *terminal) start(console *os.File) {
	var err error
	if t.slave, err = linux.OpenSlave(console); err != nil {
		log.L.WithError(err).Warn("open terminal") // all will be well as long as somebody has it open
	}
	t.console = console
	for _, o := range t.streams.outputs {
		t.done = o.moved
		o.start(console)
	}
	if t.streams.input != nil {
		t.streams.input.start(console, t.hangUp)
	}
}

// hangUp is the end of stdin, which is when CloseIO and containerd have given it up:
// nothing else ends a program that reads its terminal. As runc's shim does.
func (t *terminal) hangUp() {
	for _, o := range t.streams.outputs {
		o.relay.Stop()
	}
	closeAll(t.console, t.slave)
}

// exited has the output end: at the hang-up of the terminal or after hangupGrace.
func (t *terminal) exited() {
	closeAll(t.slave)
	if t.done == nil || within(t.done, hangupGrace) {
		return
	}
	within(t.streams.outputs[0].relay.Flush(), exitLimit)
	t.streams.outputs[0].relay.Stop()
}

// close takes the terminal away from whoever has it. Precondition: exited.
func (t *terminal) close() { closeAll(t.console) }
