// SPDX-License-Identifier: Apache-2.0

//go:build faultpoint

package fault

import (
	"os"
	"path/filepath"
	"time"
)

// Point holds the caller while $MINI_FAULT_DIR/name exists.
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
		if !held {
			held = os.WriteFile(file+".held", nil, 0o600) == nil
		}
	}
}
