// SPDX-License-Identifier: Apache-2.0

package resctrl

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// read returns a file's text, or "-" if there is no file.
func read(t *testing.T, elem ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if errors.Is(err, os.ErrNotExist) {
		return "-"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, text string, elem ...string) {
	t.Helper()
	file := filepath.Join(elem...)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// removes deletes a group's files, as the kernel does at rmdir, and reports whether Remove
// then removes the group.
func removes(t *testing.T, g *Group, dir string) bool {
	t.Helper()
	for _, f := range []string{"schemata", "tasks"} {
		_ = os.Remove(filepath.Join(dir, f))
	}
	if err := g.Remove(); err != nil {
		t.Fatal(err)
	}
	_, err := os.Stat(dir)
	return err != nil
}

func TestMake(t *testing.T) {
	for name, c := range map[string]struct {
		spec     specs.LinuxIntelRdt
		dir      string // of the group
		schemata string
		stays    bool
	}{
		"own class":           {specs.LinuxIntelRdt{}, "id", "-", false},
		"own class, one line": {specs.LinuxIntelRdt{MemBwSchema: "MB:0=20"}, "id", "MB:0=20\n", false},
		"the order of lines": {
			specs.LinuxIntelRdt{
				Schemata:      []string{"L2:0=f", "L3:0=1"},
				MemBwSchema:   "MB:0=20",
				L3CacheSchema: "L3:0=7f0",
			}, "id", "L3:0=7f0\nMB:0=20\nL2:0=f\nL3:0=1\n", false,
		},
		"a class of that name": {specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=7f0"}, "gold", "L3:0=7f0\n", true},
	} {
		root := t.TempDir()
		g, err := Make(root, "id", &c.spec)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := read(t, root, c.dir, "schemata"); got != c.schemata {
			t.Errorf("%s: schemata %q, want %q", name, got, c.schemata)
		}
		files, err := g.Tasks()
		if err != nil || len(files) != 1 || files[0].Name() != filepath.Join(root, c.dir, "tasks") {
			t.Errorf("%s: tasks %v, %v", name, files, err)
		}
		for _, f := range files {
			f.Close()
		}
		g.Joined()
		if removes(t, g, filepath.Join(root, c.dir)) == c.stays {
			t.Errorf("%s: stays %v, want %v", name, !c.stays, c.stays)
		}
	}
}

func TestClassThatExists(t *testing.T) {
	root := t.TempDir()
	write(t, "    L3:00=0007F0;01=1f\n    MB:0= 100;1=  20\n", root, "gold", "schemata")
	write(t, "", root, "gold", "mon_groups", "other", "tasks")
	for _, c := range []struct {
		spec specs.LinuxIntelRdt
		ok   bool
	}{
		{specs.LinuxIntelRdt{ClosID: "gold"}, true},
		{specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:1=1f;0=7f0", MemBwSchema: "MB:1=20"}, true},
		{specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=7f1"}, false},
		{specs.LinuxIntelRdt{ClosID: "gold", MemBwSchema: "MB:2=20"}, false},
		{specs.LinuxIntelRdt{ClosID: "silver"}, false}, // has to be there
	} {
		before := read(t, root, "gold", "schemata")
		g, err := Make(root, "id", &c.spec)
		if (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.spec, err)
		}
		if !c.ok && c.spec.ClosID == "gold" && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%+v: %v is no invalid argument", c.spec, err)
		}
		if got := read(t, root, "gold", "schemata"); got != before {
			t.Errorf("%+v: schemata changed to %q", c.spec, got)
		}
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	}
	spec := specs.LinuxIntelRdt{ClosID: "gold", Schemata: []string{"L3:0=1"}, EnableMonitoring: true}
	g, err := Make(root, "id", &spec)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, root, "gold", "schemata"); got != "L3:0=1\n" {
		t.Errorf("schemata %q", got)
	}
	files, err := g.Tasks()
	if err != nil || len(files) != 2 || !strings.HasSuffix(files[1].Name(), "gold/mon_groups/id/tasks") {
		t.Errorf("tasks %v, %v", files, err)
	}
	if !removes(t, g, filepath.Join(root, "gold/mon_groups/id")) {
		t.Error("the monitoring group stays")
	}
	if _, err := os.Stat(filepath.Join(root, "gold/mon_groups/other")); err != nil {
		t.Error(err)
	}
	// One of that name is not ours: an error, and it stays.
	if _, err := Make(root, "other", &spec); !errors.Is(err, os.ErrExist) {
		t.Errorf("a monitoring group that exists: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "gold/mon_groups/other")); err != nil {
		t.Error(err)
	}
}

// TestUndo checks that a failed create leaves no class, with or without a name of its own,
// unless others are in it or about to join it.
func TestUndo(t *testing.T) {
	named := specs.LinuxIntelRdt{ClosID: "gold", Schemata: []string{"L3:0=1"}}
	for name, c := range map[string]struct {
		spec  specs.LinuxIntelRdt
		other func(t *testing.T, root string)
		stays bool
	}{
		"its own":        {specs.LinuxIntelRdt{}, nil, false},
		"named":          {named, nil, false},
		"somebody is in": {named, func(t *testing.T, root string) { write(t, "7\n", root, "gold", "tasks") }, true},
		"somebody watches": {named, func(t *testing.T, root string) {
			write(t, "", root, "gold", "mon_groups", "other", "tasks")
		}, true},
		"somebody comes": {named, func(t *testing.T, root string) {
			g, err := Make(root, "other", &specs.LinuxIntelRdt{ClosID: "gold"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(g.Joined)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			testenv.NoLeaks(t)
			root := t.TempDir()
			g, err := Make(root, "id", &c.spec)
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(root, cmp.Or(c.spec.ClosID, "id"))
			_ = os.Remove(filepath.Join(dir, "schemata")) // as rmdir does in the kernel
			if c.other != nil {
				c.other(t, root)
			}
			if err := g.Undo(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(dir); (err == nil) != c.stays {
				t.Errorf("the class: %v; stays %v", err, c.stays)
			}
			if err := g.Undo(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestClaim checks that Make waits for another that is removing a class, and makes it again.
func TestClaim(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "gold")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		g, err := Make(root, "id", &specs.LinuxIntelRdt{ClosID: "gold", Schemata: []string{"L3:0=1"}})
		if err == nil && g.fresh != dir {
			err = errors.New("it was not made anew")
		}
		g.Joined()
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if err := errors.Join(os.Remove(dir), f.Close()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestDefaultClass checks that the class "/", which is the root itself, is never made or
// removed.
func TestDefaultClass(t *testing.T) {
	root := t.TempDir()
	write(t, "L3:0=f\n", root, "schemata")
	for _, spec := range []specs.LinuxIntelRdt{{ClosID: "/"}, {ClosID: "/", L3CacheSchema: "L3:0=f"}} {
		g, err := Make(root, "id", &spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(g.Join(77), g.Undo()); err != nil {
			t.Error(err)
		}
		if got := read(t, root, "tasks"); got != "77" || len(g.Made) > 0 {
			t.Errorf("tasks %q, made %q", got, g.Made)
		}
	}
	if got := read(t, root, "schemata"); got != "L3:0=f\n" {
		t.Errorf("schemata %q", got)
	}
}

// TestJoin checks that the pid is written to the class and to the monitoring group.
func TestJoin(t *testing.T) {
	root := t.TempDir()
	write(t, "", root, "id", "mon_groups", "other", "tasks")
	g, err := Make(root, "id", &specs.LinuxIntelRdt{EnableMonitoring: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Join(77); err != nil {
		t.Fatal(err)
	}
	class, mon := read(t, root, "id", "tasks"), read(t, root, "id", "mon_groups", "id", "tasks")
	if class != "77" || mon != "77" {
		t.Errorf("tasks %q, %q", class, mon)
	}
}

func TestLastStatus(t *testing.T) {
	root := t.TempDir()
	write(t, "unknown domain 7\n", root, "info", "last_cmd_status")
	_, err := Make(root, "id", &specs.LinuxIntelRdt{ClosID: "none"})
	if err == nil || !strings.Contains(err.Error(), "(unknown domain 7)") {
		t.Errorf("got %v", err)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		spec specs.LinuxIntelRdt
		ok   bool
	}{
		{specs.LinuxIntelRdt{ClosID: "/"}, true},
		{specs.LinuxIntelRdt{ClosID: "a/b"}, false},
		{specs.LinuxIntelRdt{ClosID: ".."}, false},
		{specs.LinuxIntelRdt{MemBwSchema: "L3:0=1"}, false},
		{specs.LinuxIntelRdt{Schemata: []string{"MB:0=1\nMB:1=1"}}, false},
	} {
		if err := Check(&c.spec); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.spec, err)
		}
	}
}

// TestMountOf: blanks in a path are read, and what shows a part of a file system is not it.
func TestMountOf(t *testing.T) {
	info := []byte(`1 2 0:3 / /proc rw - proc proc rw
35 25 0:31 /gold /srv rw - resctrl resctrl rw
36 25 0:31 / /mnt/my\040rdt rw,relatime shared:9 - resctrl resctrl rw
`)
	if got, err := mountOf(info, "resctrl"); got != "/mnt/my rdt" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := mountOf(info, "cgroup2"); got != "" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
