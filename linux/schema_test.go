// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// specDir is the module of the specification, in Go's cache.
func specDir(t *testing.T) string {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/opencontainers/runtime-spec").Output()
	if err != nil {
		t.Skipf("no go command: %v", err)
	}
	return strings.TrimSpace(string(dir))
}

// schemas are the specification's JSON schemas, by file. What they use of the
// language (draft 4) is what check knows; it fails at another keyword.
type schemas struct {
	t     *testing.T
	dir   string
	files map[string]map[string]any
}

func (s *schemas) file(name string) map[string]any {
	if f, ok := s.files[name]; ok {
		return f
	}
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	var f map[string]any
	if err := json.Unmarshal(text, &f); err != nil {
		s.t.Fatal(err)
	}
	s.files[name] = f
	return f
}

// refer finds a "$ref": FILE#/KEY/KEY, where FILE may be left out.
func (s *schemas) refer(file, ref string) (string, map[string]any) {
	name, pointer, _ := strings.Cut(ref, "#")
	if name != "" {
		file = name
	}
	at := s.file(file)
	for key := range strings.SplitSeq(strings.Trim(pointer, "/"), "/") {
		next, ok := at[key].(map[string]any)
		if !ok {
			s.t.Fatalf("%s: no %s", file, ref)
		}
		at = next
	}
	return file, at
}

// check holds a value against the rules of a file, and reports what is wrong by
// its path.
func (s *schemas) check(file, path string, rules map[string]any, v any) {
	if ref, ok := rules["$ref"].(string); ok {
		file, rules = s.refer(file, ref)
	}
	object, _ := v.(map[string]any)
	for keyword, rule := range rules {
		switch keyword {
		case "description", "$schema":
		case "$ref":
			next, target := s.refer(file, rule.(string))
			s.check(next, path, target, v)
		case "type":
			if got := typeOf(v); got != rule {
				s.t.Errorf("%s is %s, not %s", path, got, rule)
			}
		case "minimum":
			if n, ok := v.(float64); ok && n < rule.(float64) {
				s.t.Errorf("%s is below %v", path, rule)
			}
		case "pattern":
			if text, ok := v.(string); ok && !regexp.MustCompile(rule.(string)).MatchString(text) {
				s.t.Errorf("%s: %q does not match %s", path, text, rule)
			}
		case "enum":
			if !slices.Contains(rule.([]any), v) {
				s.t.Errorf("%s: %v is none of %v", path, v, rule)
			}
		case "required":
			for _, key := range rule.([]any) {
				if _, ok := object[key.(string)]; !ok {
					s.t.Errorf("%s has no %s", path, key)
				}
			}
		case "properties", "patternProperties", "items":
			s.inside(file, path, keyword, rule.(map[string]any), v)
		default:
			s.t.Fatalf("%s: keyword %s", file, keyword)
		}
	}
}

// inside checks the parts of a value.
func (s *schemas) inside(file, path, keyword string, rule map[string]any, v any) {
	if list, ok := v.([]any); ok && keyword == "items" {
		for i, item := range list {
			s.check(file, fmt.Sprintf("%s[%d]", path, i), rule, item)
		}
	}
	object, _ := v.(map[string]any)
	for key, item := range object {
		for name, rules := range rule {
			if keyword == "properties" && name == key || keyword == "patternProperties" && regexp.MustCompile(name).MatchString(key) {
				s.check(file, path+"."+key, rules.(map[string]any), item)
			}
		}
	}
}

func typeOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case bool:
		return "boolean"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	}
	return "null"
}

// conforms holds a JSON text against a schema of the specification. No part of it
// may be null, which is not the same as empty (features.md, "Features Structure").
func conforms(t *testing.T, schema string, text []byte) {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	s := &schemas{t: t, dir: filepath.Join(specDir(t), "schema"), files: map[string]map[string]any{}}
	s.check(schema, "", s.file(schema), v)
	if strings.Contains(string(text), "null") {
		t.Errorf("a null in %s", text)
	}
}

func TestStateConforms(t *testing.T) {
	h := newHooks("/run/b", "id", &specs.Spec{Annotations: map[string]string{"a": "b"}})
	for status, pid := range map[specs.ContainerState]int{specs.StateCreating: 7, specs.StateCreated: 7, specs.StateRunning: 7, specs.StateStopped: 0} {
		text, err := h.stateText(status, pid)
		if err != nil {
			t.Fatal(err)
		}
		conforms(t, "state-schema.json", text)
	}
}

// unset names the pointers and lists of a value that are nil.
func unset(path string, v reflect.Value) (names []string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if v.IsNil() {
			return []string{path}
		}
		if v.Kind() == reflect.Pointer {
			return unset(path, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			names = append(names, unset(path+"."+v.Type().Field(i).Name, v.Field(i))...)
		}
	}
	return names
}

// TestFeaturesConform: what -info tells has the form of the specification, says
// "unknown" of no property, and begins with a version that Create takes.
func TestFeaturesConform(t *testing.T) {
	f := Features()
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	conforms(t, "features-schema.json", text)
	if names := unset("features", reflect.ValueOf(f)); names != nil {
		t.Errorf("not told: %s", names)
	}
	for _, v := range []string{f.OCIVersionMin, f.OCIVersionMax} {
		if err := checkVersion(v); err != nil {
			t.Error(err)
		}
	}
	if f.OCIVersionMin > f.OCIVersionMax {
		t.Errorf("%s is above %s", f.OCIVersionMin, f.OCIVersionMax)
	}
}
