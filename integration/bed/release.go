// SPDX-License-Identifier: Apache-2.0

package bed

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Release is a version of containerd, without its patch number.
type Release struct{ Major, Minor int }

// Before reports whether the release is older than that one.
func (r Release) Before(major, minor int) bool {
	return r.Major < major || r.Major == major && r.Minor < minor
}

// releaseOf asks a containerd for its version.
func releaseOf(ctx context.Context, containerd string) (r Release, err error) {
	out, err := exec.CommandContext(ctx, containerd, "--version").Output()
	if err != nil {
		return r, fmt.Errorf("%s --version: %w", containerd, err)
	}
	return parseRelease(string(out))
}

// parseRelease reads the answer of containerd --version: its name, the module,
// the version, the commit.
func parseRelease(text string) (r Release, err error) {
	f := strings.Fields(text)
	if len(f) < 3 {
		return r, fmt.Errorf("containerd --version: %q", text)
	}
	if _, err := fmt.Sscanf(strings.TrimPrefix(f[2], "v"), "%d.%d.", &r.Major, &r.Minor); err != nil {
		return r, fmt.Errorf("containerd --version: %q: %w", text, err)
	}
	return r, nil
}
