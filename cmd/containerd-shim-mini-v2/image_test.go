// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

func TestImageIsSealed(t *testing.T) {
	r := newRig(t)
	// A copy of its own: tests run the shared one at the same time.
	r.binary = filepath.Join(r.root, "a copy", "containerd-shim-mini-v2")
	if err := os.Mkdir(filepath.Dir(r.binary), 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(shimBinary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.binary, data, 0o755); err != nil {
		t.Fatal(err)
	}
	path := r.start("c1", r.bundle("c1"))
	_, pid := dial(t, path)

	exe := fmt.Sprintf("/proc/%d/exe", pid)
	if f, err := os.OpenFile(exe, os.O_WRONLY, 0); err == nil {
		f.Close()
		t.Error("the running image can be opened for writing")
	}
	// An attacker keeps a descriptor until nobody executes the file any more.
	held, err := os.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	// Copying a new version over a running one fails, as with any program.
	if f, err := os.OpenFile(r.binary, os.O_WRONLY, 0); !errors.Is(err, syscall.ETXTBSY) {
		f.Close()
		t.Errorf("writing to the installed binary: %v, want ETXTBSY", err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGone(t, pid)
	old := fmt.Sprintf("/proc/self/fd/%d", held.Fd())
	eventually(t, "the image is not busy", func() bool {
		f, err := os.OpenFile(old, os.O_WRONLY, 0)
		if err == nil {
			f.Close()
			t.Fatal("the image can be opened for writing through an old descriptor")
		}
		return errors.Is(err, syscall.EROFS)
	})
	if out, err := exec.Command("mount", "-o", "remount,bind,rw", exe).CombinedOutput(); err == nil {
		t.Errorf("the image's mount was made writable: %s", out)
	}
	now, err := os.ReadFile(r.binary)
	if err != nil || !bytes.Equal(now, data) {
		t.Errorf("the binary changed: %v", err)
	}
}
