// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenLog(t *testing.T) {
	dir := t.TempDir()
	if _, err := openLog(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no fifo: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if fd, err := openLog(file); !errors.Is(err, unix.EINVAL) {
		unix.Close(fd)
		t.Errorf("a file: %v", err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := openLog(fifo)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	// More than a pipe holds, with nobody to read: the beginning stays.
	line := bytes.Repeat([]byte("0123456789abcde\n"), 256)
	for range 100 {
		if n, err := Log(fd).Write(line); n != len(line) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	r, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := make([]byte, len(line))
	if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, line) {
		t.Errorf("read %q, %v", got[:32], err)
	}
}
