// SPDX-License-Identifier: Apache-2.0

// Busybox-image writes OCI images made of a static busybox, a shell and a pod's
// first container, as a tar file for `ctr image import`. The same busybox gives
// the same bytes.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	out := flag.String("o", "busybox.tar", "file to write")
	busybox := flag.String("busybox", "", "static busybox (default: the one in PATH)")
	flag.Parse()
	if err := run(*out, *busybox); err != nil {
		fmt.Fprintln(os.Stderr, "busybox-image:", err)
		os.Exit(1)
	}
}

// run writes the images to a temporary file beside out, and renames it, so
// that an interrupted run leaves no half of them.
func run(out, busybox string) error {
	if busybox == "" {
		path, err := exec.LookPath("busybox")
		if err != nil {
			return fmt.Errorf("%w: install busybox-static", err)
		}
		busybox = path
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	list, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return fmt.Errorf("%s --list: %w", busybox, err)
	}
	layer, err := makeLayer(program, strings.Fields(string(list)))
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(out), ".busybox-image-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // not there after the rename
	if err := writeImages(tmp, layer); err != nil {
		return err
	}
	if err := tmp.Chmod(0o644); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), out)
}
