// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// foreign are the sections of other systems.
var foreign = []string{"Solaris", "Windows", "VM", "ZOS", "FreeBSD"}

// TestEveryFieldIsRead holds linuxSpec against the specification: a field that a
// new version adds is one of another system's, or fails here.
func TestEveryFieldIsRead(t *testing.T) {
	theirs, ours := reflect.TypeFor[specs.Spec](), reflect.TypeFor[linuxSpec]()
	known := 0
	for i := range theirs.NumField() {
		f := theirs.Field(i)
		if strings.Contains(strings.Join(foreign, " "), f.Name) {
			continue
		}
		o, ok := ours.FieldByName(f.Name)
		if !ok || o.Type != f.Type || o.Tag.Get("json") != f.Tag.Get("json") && f.Name != "Process" {
			t.Errorf("field %s: %v `%s`, want %v `%s`", f.Name, o.Type, o.Tag, f.Type, f.Tag)
		}
		known++
	}
	if known != ours.NumField() {
		t.Errorf("%d fields of linuxSpec are the specification's, not %d", known, ours.NumField())
	}
}

func TestDecodeIsUnmarshal(t *testing.T) {
	text := `{"ociVersion":"1.3.0","process":{"args":["a"],"cwd":"/"},"root":{"path":"r","readonly":true},"hostname":"h","domainname":"d",
		"mounts":[{"destination":"/x","options":["ro"]}],"hooks":{"poststop":[{"path":"/p"}]},"annotations":{"k":"v"},"linux":{"cgroupsPath":"/c"},"other":1}`
	got, err := Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var want specs.Spec
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, &want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, text := range []string{`{"mounts":5}`, `{"annotations":{"k":1}}`, `{"annotations":["k"]}`, `{"annotations":{"k":{"l":"m"}}}`} {
		if s, err := Decode([]byte(text)); err == nil {
			t.Errorf("%s: got %+v", text, s)
		}
	}
}

// TestReadBoundsTheFile: what is larger is refused by its size, without being read.
func TestReadBoundsTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	for _, c := range []struct {
		size int64
		want error
	}{{maxSize, nil}, {maxSize + 1, ErrTooLarge}, {1 << 40, ErrTooLarge}} {
		if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, c.size); err != nil {
			t.Fatal(err)
		}
		text, err := Read(file)
		if !errors.Is(err, c.want) || err == nil && (int64(len(text)) != c.size || text[0] != '{') {
			t.Errorf("%d bytes: %d read, %v", c.size, len(text), err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"ociVersion":"1.0.0","linux":{"resources":{"memory":{"limit":-1}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode(data)
		if (s == nil) == (err == nil) {
			t.Errorf("spec %v, error %v", s, err)
		}
	})
}
