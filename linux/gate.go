// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// gate is where a created init waits for Start: at its end of the socket, in the
// kernel, with no other descriptor of the shim's. Without the shim it ends. It owns
// conn.
type gate struct {
	conn *sys.Conn
	prog *fork.Program
	arg0 string
	home []byte // of receiveHome, or nil
	// executed waits until init has come from the gate through its execve.
	executed func() error
}

// open lets init go on and waits for its execve. That init is dead shows there.
func (g *gate) open(context.Context) error {
	if err := g.conn.Send(append([]byte{msgStart}, g.home...)); err != nil && !errors.Is(err, unix.EPIPE) {
		return err
	}
	return commandError(g.arg0, g.executed())
}

// close gives up the socket, which ends an init that still waits.
func (g *gate) close() { _ = g.conn.Close() }
