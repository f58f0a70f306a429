// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// fifoFile is the fifo in the bundle at which a created init waits.
const fifoFile = "exec.fifo"

// makeFifo makes and opens (O_PATH) the fifo at which init will wait. Any user may
// write to it, as init opens it with the container user's identity; the bundle's
// directory keeps the host's users out.
func makeFifo(bundle string) (*os.File, error) {
	path := filepath.Join(bundle, fifoFile)
	if err := unix.Mkfifo(path, 0o622); err != nil {
		return nil, &os.PathError{Op: "mkfifo", Path: path, Err: err}
	}
	f, err := openFifo(path)
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return f, nil
}

func openFifo(path string) (*os.File, error) {
	// mkfifo's mode went through the umask.
	if err := os.Chmod(path, 0o622); err != nil {
		return nil, err
	}
	return os.OpenFile(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
}

// gate is where a created init waits for Start. It owns its files.
type gate struct {
	path string
	fifo *os.File // O_PATH
	conn *sys.Conn
	prog *fork.Program
	arg0 string
	// executed waits until init has come from the gate through its execve.
	executed func() error
}

// open lets init go on and waits for its execve.
func (g *gate) open(context.Context) error {
	// The read end makes init's blocking open of the write end return, and stays
	// open until init has gone on.
	r, err := sys.OpenProcLink("self/fd", strconv.Itoa(int(g.fifo.Fd())), os.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return fmt.Errorf("open %s: %w", fifoFile, err)
	}
	defer r.Close()
	return commandError(g.arg0, g.executed())
}

// close removes the fifo and gives up the socket: an init that still waits ends
// with the container.
func (g *gate) close() {
	_ = os.Remove(g.path) // the bundle may be gone
	_ = g.fifo.Close()
	_ = g.conn.Close()
}
