// SPDX-License-Identifier: Apache-2.0

package criu

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/containerd/errdefs"
)

// oldest is the first version with everything that this package uses.
const oldest version = 31600

// programDirs is searched if the shim's PATH is empty.
var programDirs = []string{"/usr/local/sbin", "/usr/sbin", "/usr/local/bin", "/usr/bin", "/sbin", "/bin"}

// Find finds the criu program by PATH. It returns ErrNotImplemented if there is none.
func Find() (string, error) {
	path, err := exec.LookPath("criu")
	if err == nil {
		return path, nil
	}
	for _, dir := range programDirs {
		p := filepath.Join(dir, "criu")
		if info, err := os.Stat(p); os.Getenv("PATH") == "" && err == nil && info.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("criu is not installed: %w: %w", err, errdefs.ErrNotImplemented)
}

// Check returns ErrNotImplemented if criu does not work here or is too old.
func Check(ctx context.Context, c *Config) error {
	r, err := query(ctx, c, request(kindVersion, nil))
	switch {
	case err != nil && ctx.Err() == nil:
		return fmt.Errorf("%s does not work on this machine: %w: %w", c.Path, err, errdefs.ErrNotImplemented)
	case err != nil:
		return err
	case r.version < oldest:
		return fmt.Errorf("%s is version %s, older than %s: %w", c.Path, r.version, oldest, errdefs.ErrNotImplemented)
	}
	return nil
}

// TracksMemory reports whether this kernel can tell criu which memory has changed since a
// dump, as an incremental dump needs.
func TracksMemory(ctx context.Context, c *Config) (bool, error) {
	var memTrack message
	memTrack.flag(1, true)
	m := request(kindFeature, nil)
	m.message(5, memTrack)
	r, err := query(ctx, c, m)
	return r.tracks, err
}

// query makes a request for which criu sends no notification.
func query(ctx context.Context, c *Config, m message) (response, error) {
	w, err := Start(c)
	if err != nil {
		return response{}, err
	}
	return w.ask(ctx, m, func(*Notification) error { return nil })
}
