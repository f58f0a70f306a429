// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBundleRefused(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file", "")
	for path, want := range map[string]error{
		"relative":                   errdefs.ErrInvalidArgument,
		"":                           errdefs.ErrInvalidArgument,
		dir + "/none":                errdefs.ErrNotFound,
		dir + "/file":                errdefs.ErrInvalidArgument,
		dir + "/file/x":              errdefs.ErrNotFound,
		dir + "/" + "with\x00nul":    nil,
		strings.Repeat("/long", 999): nil,
	} {
		_, err := openBundle(path)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%.40q: got %v, want %v", path, err, want)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "unexpected end of JSON input",
		"{":                           "unexpected end of JSON input",
		`{"root": 5}`:                 "root",
		`{}`:                          "process: missing",
		`{"process": {}}`:             "root: missing",
		`{"process": {"args": "sh"}}`: "args",
		`{"process": {"terminal": true}, "root": {}}`: "process.terminal is true, the request's terminal is false",
	} {
		dir := t.TempDir()
		write(t, dir, configFile, text)
		_, err := New(t.Context(), &Config{ID: "c", Bundle: dir})
		if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an invalid argument with %q", text, err, want)
		}
	}
	if _, err := New(t.Context(), &Config{ID: "c", Bundle: t.TempDir()}); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("no config.json: got %v", err)
	}
}

func TestIDs(t *testing.T) {
	for id, ok := range map[string]bool{
		"a": true, "A-b_c+1.2": true, "_x": true, "-x": true, strings.Repeat("a", 255): true,
		"": false, ".": false, "..": false, ".x": false, "a/b": false, "a b": false, "ä": false, "a\x00": false,
		strings.Repeat("a", 256): false,
	} {
		if err := checkID(id); (err == nil) != ok {
			t.Errorf("%.20q: got %v", id, err)
		} else if err != nil && !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%.20q: %v has no code", id, err)
		}
	}
}

func TestFilesOfABundle(t *testing.T) {
	b := bundle(t.TempDir())
	if rec, err := b.readRecord(); rec != nil || err != nil {
		t.Errorf("no record: got %v, %v", rec, err)
	}
	if exit, err := b.readExit(); exit != nil || err != nil {
		t.Errorf("no exit: got %v, %v", exit, err)
	}
	if pid, err := b.readPid(); pid != 0 || err != nil {
		t.Errorf("no pid: got %v, %v", pid, err)
	}
	in := record{Linux: linux.Record{Cgroup: "/a/b"}, Options: linux.Options{SystemdCgroup: true}}
	exit := Exit{Pid: 42, Code: 137, At: time.Now().UTC().Round(0)}
	if err := errors.Join(b.writeRecord(in), b.writeExit(exit), b.writePid(42)); err != nil {
		t.Fatal(err)
	}
	if rec, err := b.readRecord(); err != nil || rec.Linux.Cgroup != "/a/b" || !rec.Options.SystemdCgroup {
		t.Errorf("record: got %+v, %v", rec, err)
	}
	if got, err := b.readExit(); err != nil || *got != exit {
		t.Errorf("exit: got %+v, %v, want %+v", got, err, exit)
	}
	if pid, err := b.readPid(); err != nil || pid != 42 {
		t.Errorf("pid: got %v, %v", pid, err)
	}
	files, err := filepath.Glob(filepath.Join(string(b), ".*"))
	if err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// What a crash, or a full disk, can leave.
func TestCleanupOfHalfABundle(t *testing.T) {
	testenv.Root(t)
	spec := `{"ociVersion": "1.0.2", "linux": {"cgroupsPath": "/mini-test-cleanup/none"}}`
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	exit := `{"Timestamp": "2026-01-02T03:04:05.000000006Z", "Pid": 7, "Status": 3}`
	for name, c := range map[string]struct {
		files map[string]string
		want  Exit  // At is not looked at when it is zero
		err   error // errNone: none
	}{
		"nothing at all":           {nil, Exit{Code: 137}, errdefs.ErrNotFound},
		"only the config":          {map[string]string{configFile: spec}, Exit{Code: 137}, nil},
		"config is no JSON":        {map[string]string{configFile: "{"}, Exit{Code: 137}, errdefs.ErrInvalidArgument},
		"a pid, no exit":           {map[string]string{configFile: spec, pidFile: "7\n"}, Exit{Pid: 7, Code: 137}, nil},
		"an exit":                  {map[string]string{configFile: spec, exitFile: exit, pidFile: "7"}, Exit{7, 3, at}, nil},
		"an exit, config is gone":  {map[string]string{exitFile: exit}, Exit{7, 3, at}, errdefs.ErrNotFound},
		"a record of what is gone": {map[string]string{configFile: spec, recordFile: `{"linux": {"cgroup": "/mini-test-cleanup/none"}}`, exitFile: exit}, Exit{7, 3, at}, nil},
		"half a record":            {map[string]string{configFile: spec, recordFile: `{"lin`, pidFile: "7"}, Exit{Pid: 7, Code: 137}, errAny},
		"half an exit":             {map[string]string{configFile: spec, exitFile: `{"Pid": 7`, pidFile: "7"}, Exit{Pid: 7, Code: 137}, errAny},
		"an empty exit":            {map[string]string{configFile: spec, exitFile: `{}`}, Exit{Code: 137}, errAny},
		"a bad pid":                {map[string]string{configFile: spec, pidFile: "-1"}, Exit{Code: 137}, errAny},
	} {
		dir := t.TempDir()
		for file, text := range c.files {
			write(t, dir, file, text)
		}
		for range 2 { // containerd may run it twice
			before := time.Now()
			got, err := Cleanup(dir, "c")
			if c.want.At.IsZero() && got.At.Before(before) || !c.want.At.IsZero() && !got.At.Equal(c.want.At) {
				t.Errorf("%s: at %s", name, got.At)
			}
			if got.Pid != c.want.Pid || got.Code != c.want.Code {
				t.Errorf("%s: got %+v, want %+v", name, got, c.want)
			}
			switch {
			case c.err == nil && err != nil, c.err != nil && err == nil:
				t.Errorf("%s: got %v, want %v", name, err, c.err)
			case c.err != nil && !errors.Is(c.err, errAny) && !errors.Is(err, c.err):
				t.Errorf("%s: got %v, want %v", name, err, c.err)
			}
		}
	}
	if _, err := Cleanup("/nonexistent/bundle", "c"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("no bundle: got %v", err)
	}
	if _, err := Cleanup(t.TempDir(), "../x"); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("bad id: got %v", err)
	}
}

// errAny stands for an error without a code.
var errAny = errors.New("any")
