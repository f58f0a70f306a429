// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestIntelRdt has a directory in place of resctrl, which no machine of ours has:
// init and an exec write themselves to the group's tasks.
func TestIntelRdt(t *testing.T) {
	testenv.Root(t)
	root := t.TempDir()
	var rec Record
	spec := newSpec(t, "sleep", "1000")
	spec.Linux.IntelRdt = &specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f"}
	c, err := Create(t.Context(), &Config{ID: "c", Bundle: newBundle(t), Spec: spec, Record: func(r Record) error { rec = r; return nil }, resctrlRoot: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Destroy(context.Background()), c.Init().Close()); err != nil {
			t.Error(err)
		}
	})
	tasks := filepath.Join(root, "c", "tasks")
	joined := func(who string) {
		t.Helper()
		if b, err := os.ReadFile(tasks); err != nil || string(b) != "0" {
			t.Errorf("%s: tasks %q, %v", who, b, err)
		}
		if err := os.Truncate(tasks, 0); err != nil {
			t.Fatal(err)
		}
	}
	joined("init")
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := c.Exec(t.Context(), &ExecConfig{ID: "e", Process: &specs.Process{Args: []string{"true"}, Cwd: "/", Env: []string{"PATH=/bin"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	joined("exec")
	if err := errors.Join(c.Kill(), os.Remove(tasks), os.Remove(filepath.Join(root, "c", "schemata"))); err != nil {
		t.Fatal(err) // rmdir would take the files along
	}
	if len(rec.Resctrl.Made) != 1 || rec.Resctrl.Made[0] != filepath.Join(root, "c") {
		t.Errorf("recorded: %+v", rec.Resctrl)
	}
	if _, err := c.Init().Wait(); err != nil {
		t.Error(err)
	}
	if err := c.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(root, "c")); err == nil {
		t.Error("the group stays")
	}
}

// TestNoIntelRdt: without resctrl the field is refused, and nothing stays.
func TestNoIntelRdt(t *testing.T) {
	testenv.Root(t)
	spec := newSpec(t, "true")
	spec.Linux.IntelRdt = &specs.LinuxIntelRdt{}
	if _, err := create(t, newBundle(t), spec, nil); !errdefs.IsNotImplemented(err) {
		t.Errorf("got %v", err)
	}
}

// TestFailedCreateTakesTheClassBack: also one with a name of its own goes with the
// container that it was made for.
func TestFailedCreateTakesTheClassBack(t *testing.T) {
	testenv.Root(t)
	root := t.TempDir()
	class := filepath.Join(root, "gold")
	spec := newSpec(t, "true")
	spec.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=f"}
	// A hook fails, when init is in the class; what it removes rmdir(2) does in the kernel.
	spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "rm " + class + "/tasks " + class + "/schemata; echo failure; exit 1"}}}}
	_, err := Create(t.Context(), &Config{ID: "c", Bundle: newBundle(t), Spec: spec, Record: func(Record) error { return nil }, resctrlRoot: root})
	if err == nil || !strings.Contains(err.Error(), "failure") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(class); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the class stays: %v", err)
	}
}

// TestResctrlIsRecordedFirst: whenever the shim is killed, what it has made by then is
// in the record, and what others had made is not.
func TestResctrlIsRecordedFirst(t *testing.T) {
	testenv.Root(t)
	for name, c := range map[string]struct {
		spec  specs.LinuxIntelRdt
		there string
		want  []string
	}{
		"own class":         {specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", EnableMonitoring: true}, "", []string{"c/mon_groups/c", "c"}},
		"another's class":   {specs.LinuxIntelRdt{}, "c", nil},
		"named class":       {specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=f"}, "", nil},
		"monitored, shared": {specs.LinuxIntelRdt{ClosID: "gold", EnableMonitoring: true}, "gold/mon_groups", []string{"gold/mon_groups/c"}},
	} {
		t.Run(name, func(t *testing.T) {
			root, killed := t.TempDir(), errors.New("killed")
			if err := os.MkdirAll(filepath.Join(root, c.there), 0o755); err != nil {
				t.Fatal(err)
			}
			spec := newSpec(t, "true")
			spec.Linux.IntelRdt = &c.spec
			before := tree(t, root)
			record := func(r Record) error {
				var made []string
				for _, dir := range r.Resctrl.Made {
					made = append(made, strings.TrimPrefix(dir, root+"/"))
				}
				if !slices.Equal(made, c.want) {
					t.Errorf("recorded %q, want %q", made, c.want)
				}
				if now := tree(t, root); !slices.Equal(now, before) {
					t.Errorf("before the record there was %q, not %q", now, before)
				}
				return killed
			}
			_, err := Create(t.Context(), &Config{ID: "c", Bundle: newBundle(t), Spec: spec, Record: record, resctrlRoot: root})
			if !errors.Is(err, killed) {
				t.Errorf("got %v", err)
			}
			if now := tree(t, root); !slices.Equal(now, before) {
				t.Errorf("left: %q, not %q", now, before)
			}
		})
	}
}

// tree lists all below a directory.
func tree(t *testing.T, root string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
