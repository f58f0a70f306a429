// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/criu"
)

// files makes a directory with one thing in it.
func files(t *testing.T, make func(dir string) error) string {
	dir := t.TempDir()
	if err := make(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(name string) func(string) error {
	return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600) }
}

func link(to, name string) func(string) error {
	return func(dir string) error { return os.Symlink(to, filepath.Join(dir, name)) }
}

func TestHostileImagesAreNotOpened(t *testing.T) {
	fifo := func(name string) func(string) error {
		return func(dir string) error { return unix.Mkfifo(filepath.Join(dir, name), 0o600) }
	}
	for name, c := range map[string]struct {
		make            func(string) error
		source, chained bool // is restored from
		target          bool // is written to
	}{
		"image":          {write("core-1.img"), true, true, true},
		"link":           {link("/etc/passwd", "core-1.img"), false, false, false},
		"dangling link":  {link("/nonexistent", "pages-1.img"), false, false, false},
		"fifo":           {fifo("inventory.img"), false, false, false},
		"fifo of a name": {fifo(streamsFile), false, false, false},
		"directory":      {func(dir string) error { return os.Mkdir(filepath.Join(dir, "sub"), 0o700) }, true, true, false},
		"parent":         {link("/var/lib", parentLink), false, false, false},
		"parent outside": {link("../../x", parentLink), false, false, false},
		"parent above":   {link("..", parentLink), false, false, false},
		"no parent":      {link("../missing", parentLink), false, false, false},
		"own parent":     {func(dir string) error { return link("../"+filepath.Base(dir), parentLink)(dir) }, false, false, false},
		"hard link": {func(dir string) error {
			if err := write("a")(dir); err != nil {
				return err
			}
			return os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "core-1.img"))
		}, true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := files(t, c.make)
			for chained, want := range map[bool]bool{false: c.source, true: c.chained} {
				d, err := openCheckpoint(&RestoreConfig{Images: dir, Chained: chained})
				if err == nil {
					d.close()
				}
				if (err == nil) != want {
					t.Errorf("restore, chained %t: got %v", chained, err)
				}
			}
			d, err := openImages(dir, true)
			if err != nil {
				t.Fatal(err)
			}
			defer d.close()
			if err := d.checkTarget(); (err == nil) != c.target || err != nil && !errdefs.IsInvalidArgument(err) {
				t.Errorf("checkpoint: got %v", err)
			}
		})
	}
}

func TestChainOfCheckpoints(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"1", "2", "3"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{"3": "../2", "2": "../1"} {
		if err := os.Symlink(to, filepath.Join(dir, from, parentLink)); err != nil {
			t.Fatal(err)
		}
	}
	last := &RestoreConfig{Images: filepath.Join(dir, "3"), Chained: true}
	d, err := openCheckpoint(last)
	if err != nil {
		t.Fatal(err)
	}
	d.close()
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "1", "pages-1.img")); err != nil {
		t.Fatal(err)
	}
	if _, err := openCheckpoint(last); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a link in the first of a chain: got %v", err)
	}
}

func TestDirectoriesOfImages(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/var/lib", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", "rel", filepath.Join(dir, "link"), filepath.Join(dir, "file")} {
		for _, make := range []bool{false, true} {
			if _, err := openImages(path, make); !errdefs.IsInvalidArgument(err) {
				t.Errorf("%q: got %v", path, err)
			}
		}
	}
	if _, err := openImages(filepath.Join(dir, "none"), false); !errdefs.IsNotFound(err) {
		t.Errorf("missing: got %v", err)
	}
	d, err := openImages(filepath.Join(dir, "made"), true)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if _, err := d.readStreams(); !errdefs.IsNotFound(err) {
		t.Errorf("no checkpoint: got %v", err)
	}
	names := []string{"file[1:2]", "pipe:[3]", "/dev/null"}
	if err := d.writeStreams(names); err != nil {
		t.Fatal(err)
	}
	if got, err := d.readStreams(); err != nil || !reflect.DeepEqual(got, names) {
		t.Errorf("got %q, %v", got, err)
	}
	broken := filepath.Join(dir, "made", streamsFile)
	for name, text := range map[string]string{"no JSON": "{", "huge": `["` + strings.Repeat("x", 2*maxStreams) + `"]`, "other JSON": `{"a":1}`} {
		if err := os.WriteFile(broken, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.readStreams(); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", broken); err != nil {
		t.Fatal(err)
	}
	if _, err := d.readStreams(); err == nil {
		t.Error("streams were read through a link")
	}
	if err := d.writeStreams(names); err == nil {
		t.Error("streams were written through a link")
	}
}

func TestStreamNames(t *testing.T) {
	for name, want := range map[string]bool{
		"pipe:[123]": true, "file[1f:a2]": true, "": false, "/dev/pts/0": false, "extRootNetNS": false,
		"pipe:[1]x": false, "file[1:2]/x": false, "file[1:]": false, "pipe:[-1]": false, "socket:[1]": false, "pipe:[01]": false,
	} {
		if isStreamName(name) != want {
			t.Errorf("%q: got %t", name, !want)
		}
	}
}

// TestInheritedStreams: what was a pipe may be anything, what was the null device is one.
func TestInheritedStreams(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	outer, err := null()
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	names := map[*os.File]string{}
	for f, kind := range map[*os.File]streamKind{w: outerPipe, outer: outerFile, own: ownFile} {
		s, err := streamOf(f)
		if err != nil || s.kind != kind || isStreamName(s.name()) != (kind != ownFile) {
			t.Errorf("%s: %+v, %q, %v", f.Name(), s, s.name(), err)
		}
		names[f] = s.name()
	}
	for name, c := range map[string]struct {
		was, asked, want [3]*os.File // want: nil is not inherited
	}{
		"pipes":            {[3]*os.File{w, w, w}, [3]*os.File{r, w, w}, [3]*os.File{r, nil, nil}},
		"the outer null":   {[3]*os.File{outer, outer, w}, [3]*os.File{r, w, w}, [3]*os.File{outer, nil, w}},
		"the own null":     {[3]*os.File{own, own, own}, [3]*os.File{r, w, w}, [3]*os.File{}},
		"pipe into null":   {[3]*os.File{w, own, own}, [3]*os.File{}, [3]*os.File{outer, nil, nil}},
		"null into a pipe": {[3]*os.File{outer, w, own}, [3]*os.File{r, nil, w}, [3]*os.File{outer, outer, nil}},
	} {
		list, _, err := inherit([]string{names[c.was[0]], names[c.was[1]], names[c.was[2]]}, c.asked)
		var want []criu.Inherit
		for i, f := range c.want {
			if f != nil {
				want = append(want, criu.Inherit{Key: names[c.was[i]], File: f})
			}
		}
		if err != nil || !slices.Equal(list, want) {
			t.Errorf("%s: got %v, %v, want %v", name, list, err, want)
		}
	}
}

func TestFeaturesTellOfCheckpointsWhereCriuIs(t *testing.T) {
	const annotation = "org.opencontainers.runc.checkpoint.enabled"
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if got := Features().Annotations[annotation]; got != "false" {
		t.Errorf("without criu: got %q", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "criu"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := Features().Annotations[annotation]; got != "true" {
		t.Errorf("with criu: got %q", got)
	}
}
