// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"sync"

	"github.com/containerd/log"

	"github.com/containerd-mini/mini/linux/relay"
)

// input moves what containerd writes to a process. Of the fifo the shim keeps a write
// end, so that its end comes with CloseIO and not when a client goes.
//
//	newInput -> start -> stop;  newInput -> stop
type input struct {
	src   *os.File // closed when the relay has ended
	dst   *os.File // our end of the container's pipe, or nil; as src
	relay *relay.Relay
	done  chan struct{} // closed when the relay has ended; nil before start

	mu   sync.Mutex
	kept *os.File // guarded by mu; nil unless a fifo, and after closeStdin
}

// newInput takes ownership of the files. dst is nil for a terminal, which start names.
func newInput(src, kept, dst *os.File) (*input, error) {
	r, err := relay.New(nil)
	if err != nil {
		closeAll(src, kept, dst)
		return nil, err
	}
	return &input{src: src, kept: kept, dst: dst, relay: r}, nil
}

// start begins to move, to the terminal if there is one, which the caller keeps; ended
// is called at the end of the fifo.
func (i *input) start(console *os.File, ended func()) {
	dst := i.dst
	if dst == nil {
		dst = console
	}
	i.done = make(chan struct{})
	go func() {
		defer close(i.done)
		// EPIPE, EIO: nobody reads it any more.
		err := i.relay.Run(i.src, dst)
		closeAll(i.src, i.dst)
		if err == nil && ended != nil {
			ended()
		}
	}()
}

// closeStdin gives up our write end: the process sees the end of its input when
// containerd has closed its own. Again is no error.
func (i *input) closeStdin() error {
	i.mu.Lock()
	f := i.kept
	i.kept = nil
	i.mu.Unlock()
	if f == nil {
		return nil
	}
	return f.Close()
}

// stop ends the input, and releases it; again does nothing.
func (i *input) stop() {
	i.relay.Stop()
	if err := i.closeStdin(); err != nil {
		log.L.WithError(err).Warn("close stdin")
	}
	if i.done == nil {
		closeAll(i.src, i.dst)
		return
	}
	if !within(i.done, stuckLimit) {
		log.L.Warn("stdin is stuck: it is left to end by itself")
	}
}
