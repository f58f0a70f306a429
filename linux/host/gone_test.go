// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	w, err := NewWatch()
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan error)
	go func() {
		for {
			err := w.Wait()
			events <- err
			if err != nil {
				return
			}
		}
	}()
	file := filepath.Join(dir, "f")
	open, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close() // an open file must not hide its removal
	if err := w.Add(file); err != nil {
		t.Fatal(err)
	}
	if err := w.Add(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Add of nothing: %v", err)
	}
	if _, err := open.WriteString("a write is no event"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-events:
		t.Errorf("event without one: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := <-events; err != nil {
		t.Errorf("Wait = %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-events; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Wait after Close = %v", err)
	}
}
