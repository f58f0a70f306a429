// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

func TestSealMemfd(t *testing.T) {
	image, err := sealMemfd()
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	if f, err := os.OpenFile(image.path(), os.O_WRONLY, 0); err == nil {
		_, err = f.Write([]byte("x"))
		f.Close()
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("write to the image: %v, want EPERM", err)
		}
	}
	want, err := os.ReadFile(selfExe)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(image.path())
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the copy has %d bytes of %d: %v", len(got), len(want), err)
	}
	pid, err := syscall.ForkExec(image.path(), []string{"x", "-test.run=^$"}, &syscall.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 0 {
		t.Errorf("running the copy: %v, status %d", err, status)
	}
}

func TestSealMount(t *testing.T) {
	testenv.Root(t)
	image, err := sealMount()
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	exe, err := os.Readlink(selfExe)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(image.path()) != filepath.Base(exe) {
		t.Errorf("the image is %s", image.path())
	}
	if f, err := os.OpenFile(image.path(), os.O_WRONLY, 0); !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.ETXTBSY) {
		f.Close()
		t.Errorf("open the image for writing: %v", err)
	}
	// The directory does not show the program where something is mounted on it.
	if i, err := sealInDir("/proc/self/exe/x"); err == nil {
		i.Close()
		t.Error("sealInDir found a program in a file")
	}
	if i, err := sealInDir("/etc/passwd"); !errors.Is(err, unix.ESTALE) {
		i.Close()
		t.Errorf("sealInDir of another file: %v, want ESTALE", err)
	}
}
