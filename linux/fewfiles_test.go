// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestMoreMountsThanFiles: a container may have more binds and new filesystems than the
// shim may have files open, and more of these than one message carries (SCM_MAX_FD).
func TestMoreMountsThanFiles(t *testing.T) {
	testenv.Root(t)
	testenv.Subprocess(t, 0, func(t *testing.T) {
		limit := unix.Rlimit{Cur: 600, Max: 600}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		sources := t.TempDir()
		const binds, filesystems = 700, 620
		// The terminal's filesystem is in the first message, its ends in the last.
		spec := newSpec(t, "sh", "-c", "grep -c ' /binds/' /proc/self/mountinfo; grep -c ' /new/' /proc/self/mountinfo; cat /binds/699/number")
		for i := range binds {
			source := filepath.Join(sources, fmt.Sprint(i))
			if err := os.Mkdir(source, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(source, "number"), fmt.Appendln(nil, i), 0o644); err != nil {
				t.Fatal(err)
			}
			spec.Mounts = append(spec.Mounts, specs.Mount{Destination: fmt.Sprintf("/binds/%d", i), Source: source, Options: []string{"bind"}})
		}
		for i := range filesystems {
			spec.Mounts = append(spec.Mounts, specs.Mount{Destination: fmt.Sprintf("/new/%d", i), Type: "tmpfs", Source: "tmpfs"})
		}
		spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 512, Hard: 512}}
		text, code := run(t, spec)
		if want := fmt.Sprintf("%d\n%d\n%d\n", binds, filesystems, binds-1); text != want || code != 0 {
			t.Errorf("got %q, exit %d, want %q", text, code, want)
		}
		spec.Process.Terminal = true
		bundle := newBundle(t)
		c, err := create(t, bundle, spec, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.Init().Console() == nil {
			t.Error("no terminal")
		}
		if err := c.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
		if fds, err := os.ReadDir("/proc/self/fd"); err != nil || len(fds) > 100 {
			t.Errorf("%d descriptors are open, %v", len(fds), err)
		}
		// What does not fit says so.
		spec.Process.Terminal = false
		for i := range spec.Mounts {
			if strings.HasPrefix(spec.Mounts[i].Destination, "/new/") {
				spec.Mounts[i].Options = []string{"ro"} // stays open until the end
			}
		}
		_, err = create(t, newBundle(t), spec, nil)
		if err == nil || !strings.Contains(err.Error(), "too many open files") {
			t.Errorf("got %v", err)
		}
	})
}
