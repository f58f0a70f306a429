// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/containerd-mini/mini/cmd/containerd-shim-mini-v2/internal/bootstrap"
	"github.com/containerd-mini/mini/linux/host"
)

// Files of package process in a bundle. That package is not imported here, for
// its weight; its tests and the integration tests hold the two together.
const (
	recordFile = "record.json" // there while there is something to clean up
	exitFile   = "exit.json"   // how init ended
)

// deleted answers the verb `delete` for a container that its shim deleted in
// good order, which is nearly always: containerd calls `delete` after each
// Shutdown. ok is false for all others, which take the whole of the program to
// clean up after.
//
// The bundle of a deleted container has an exit record and no clean-up record.
func deleted(bundle string) (exit bootstrap.Exit, ok bool) {
	_, err := os.Lstat(bundle + "/" + recordFile)
	if !errors.Is(err, fs.ErrNotExist) {
		return exit, false
	}
	data, err := os.ReadFile(bundle + "/" + exitFile)
	if err != nil {
		return exit, false
	}
	return readExit(data)
}

// readExit reads {"Timestamp":...,"Pid":...,"Status":...}.
func readExit(data []byte) (exit bootstrap.Exit, ok bool) {
	s := scanner{data}
	err := s.object(func(key string) (err error) {
		var n int64
		switch {
		case key == "Timestamp" && s.peek() == '"':
			var text string
			if text, err = s.text(); err == nil {
				exit.At, err = time.Parse(time.RFC3339Nano, text)
			}
		case key == "Pid":
			n, err = s.number()
			exit.Pid = uint32(n)
		case key == "Status":
			n, err = s.number()
			exit.Status = uint32(n)
		default:
			err = s.skip()
		}
		return err
	})
	return exit, err == nil && exit.Pid != 0 && !exit.At.IsZero()
}

// RemoveSocket removes the socket of the shim that served the bundle, unless
// a process listens on it: the shim may serve other containers.
func RemoveSocket(bundle string) error {
	data, err := os.ReadFile(bundle + "/" + AddressFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	path, ok := strings.CutPrefix(string(data), "unix://")
	if !ok || !strings.HasPrefix(path, "/") {
		return nil // a crash while it was written
	}
	return host.RemoveDead(path)
}
