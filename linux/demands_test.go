// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/sys"
)

// TestOldestVersion: the least version that -info tells of is taken, and a container
// of a later one than mini knows.
func TestOldestVersion(t *testing.T) {
	testenv.Root(t)
	for _, v := range []string{Features().OCIVersionMin, "1.99.0"} {
		spec := newSpec(t, "true")
		spec.Version = v
		if _, code := run(t, spec); code != 0 {
			t.Errorf("%s: exit code %d", v, code)
		}
	}
}

// TestConsoleSizeWithoutTerminal: it is ignored, also where the streams of the
// process happen to be a terminal.
func TestConsoleSizeWithoutTerminal(t *testing.T) {
	testenv.Root(t)
	master, slave := testenv.PTY(t)
	if err := setWinsize(master, 9, 7); err != nil {
		t.Fatal(err)
	}
	spec := newSpec(t, "true")
	spec.Process.ConsoleSize = &specs.Box{Width: 80, Height: 24}
	run := started(t, newBundle(t), spec, &output{r: master, w: slave})
	if s, err := run.Init().Wait(); err != nil || s.Code != 0 {
		t.Fatal(s, err)
	}
	err := sys.Control(master, func(fd int) error {
		size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err == nil && (size.Col != 9 || size.Row != 7) {
			t.Errorf("the terminal's size is %dx%d", size.Col, size.Row)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
