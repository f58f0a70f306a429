// SPDX-License-Identifier: Apache-2.0

//go:build faultpoint

package fault

import (
	"os"
	"path/filepath"
	"time"
)

// InChild reports whether a child is to sleep at the point. It is asked while the
// child's program is made; the child knows nothing of files.
func InChild(name string) bool {
	dir := os.Getenv("MINI_FAULT_DIR")
	if dir == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// Point holds the first caller while $MINI_FAULT_DIR/name exists.
func Point(name string) {
	dir := os.Getenv("MINI_FAULT_DIR")
	if dir == "" {
		return
	}
	file := filepath.Join(dir, name)
	for held := false; ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(file); err != nil {
			return
		}
		if held {
			continue
		}
		f, err := os.OpenFile(file+".held", os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return // another is held here
		}
		f.Close()
		held = true
	}
}
