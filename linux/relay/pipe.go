// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"os"

	"github.com/containerd-mini/mini/linux/sys"
)

// Pipe makes an anonymous pipe, with both ends in blocking mode, as a container
// expects its own; Run changes the other one.
func Pipe() (r, w *os.File, err error) { return sys.Pipe("pipe") }

// Unread is how many bytes a pipe or fifo holds that nobody has read yet.
func Unread(f *os.File) (int, error) { return sys.Unread(f) }

// HasReader reports whether anybody has the pipe or fifo open to read, of which w is
// a write end.
func HasReader(w *os.File) (bool, error) { return sys.HasReader(w) }
