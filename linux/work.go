// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/criu"
)

// workDir is where criu writes its log.
type workDir struct {
	file      *os.File
	path      string
	temporary bool // to be removed
}

// openWork opens the directory that was named, or makes one in the bundle.
func openWork(path, bundle string) (*workDir, error) {
	w := &workDir{path: path}
	if path == "" {
		w.path, w.temporary = filepath.Join(bundle, criuWork), true
		if err := os.RemoveAll(w.path); err != nil {
			return nil, err
		}
	}
	var err error
	if w.file, err = openDirectory(w.path, true); err != nil {
		return nil, fmt.Errorf("open work directory: %w", err)
	}
	return w, nil
}

func (w *workDir) close() {
	_ = w.file.Close() // a directory
	if w.temporary {
		_ = os.RemoveAll(w.path) // goes with the bundle, else
	}
}

// reopen opens the directory anew in the calling thread's mount namespace: criu
// mounts below its working directory, which works in its own namespace only.
func (w *workDir) reopen() error {
	f, err := openDirectory(w.path, false)
	if err != nil {
		return fmt.Errorf("open work directory: %w", err)
	}
	_ = w.file.Close() // a directory
	w.file = f
	return nil
}

// explain adds to criu's error what its log says, and keeps the log as keep where
// the directory is only for the time being.
func (w *workDir) explain(err error, name, keep string) error {
	if !errors.Is(err, criu.ErrFailed) {
		return err
	}
	dir := &imageDir{file: w.file, path: w.file.Name()}
	log, oerr := dir.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if oerr != nil {
		return err // it did not come so far
	}
	defer log.Close()
	at := log.Name()
	if w.temporary {
		if os.Rename(at, keep) == nil {
			at = keep
		}
	}
	if reason := criu.Reason(io.LimitReader(log, maxLog)); reason != "" {
		return fmt.Errorf("%w: %s (%s)", err, reason, at)
	}
	return fmt.Errorf("%w (%s)", err, at)
}

// maxLog bounds what is read of a log.
const maxLog = 16 << 20
