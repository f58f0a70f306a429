// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

const conformance = "../CONFORMANCE.md"

// rows are the tables of CONFORMANCE.md: its cells, without the heads.
func rows(t *testing.T) (all [][]string) {
	t.Helper()
	data, err := os.ReadFile(conformance)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if strings.HasPrefix(line, "| ") && len(cells) >= 4 && !strings.HasPrefix(line, "| ---") && strings.TrimSpace(cells[0]) != "field" {
			all = append(all, cells)
		}
	}
	return all
}

// names are the words of a cell.
func names(cell string) []string {
	return strings.FieldsFunc(cell, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '*' })
}

// fields lists the JSON names of a type's fields, each with those it is in. A
// field that is an object is followed, and not listed itself.
func fields(t reflect.Type, in []string) (all [][]string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.NumField() == 0 {
		return [][]string{in}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			all = append(all, fields(f.Type, in)...)
		case !f.IsExported() || name == "-" || slices.Contains(in, name) && len(in) > 6:
		default:
			all = append(all, fields(f.Type, append(slices.Clone(in), name))...)
		}
	}
	return all
}

// mentioned reports whether a row is about the field: its first cell has the field's
// name and that of the object it is in, or an object that it is in as `name.*`.
func mentioned(all [][]string, path []string) bool {
	leaf := path[len(path)-1]
	for _, row := range all {
		words := names(row[0])
		for i, object := range path {
			if at := slices.Index(words, object); at >= 0 && at+1 < len(words) && words[at+1] == "*" && i < len(path) {
				return true
			}
		}
		if slices.Contains(words, leaf) && (len(path) < 3 || slices.Contains(words, path[len(path)-2])) {
			return true
		}
	}
	return false
}

// TestEveryFieldIsMentioned: CONFORMANCE.md says of each field of the spec's Go
// types what becomes of it.
func TestEveryFieldIsMentioned(t *testing.T) {
	all := slices.DeleteFunc(rows(t), func(row []string) bool { return demand.MatchString(row[0]) })
	for _, root := range []reflect.Type{reflect.TypeFor[specs.Spec](), reflect.TypeFor[features.Features]()} {
		paths := fields(root, nil)
		if len(paths) < 20 {
			t.Fatalf("%v has %d fields", root, len(paths))
		}
		for _, path := range paths {
			if !mentioned(all, path) {
				t.Errorf("no row of CONFORMANCE.md mentions %s of %v", strings.Join(path, "."), root)
			}
		}
	}
}

// demand begins the first cell of a row about a MUST: the document and the section.
var demand = regexp.MustCompile(`^ ([a-z-]+\.md, [^:]+):`)

// TestEveryDemandIsMentioned: CONFORMANCE.md has a row for each section of the
// specification's text with a MUST, and for no other.
func TestEveryDemandIsMentioned(t *testing.T) {
	dir := specDir(t)
	had := map[string]bool{}
	for _, row := range rows(t) {
		if m := demand.FindStringSubmatch(row[0]); m != nil {
			had[m[1]] = true
		}
	}
	anchor, sections := regexp.MustCompile(`<[^>]*>`), map[string]bool{}
	for _, file := range []string{"bundle.md", "runtime.md", "runtime-linux.md", "config.md", "config-linux.md", "features.md", "features-linux.md"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		section := ""
		for line := range strings.Lines(string(text)) {
			if title := strings.TrimLeft(line, "#"); title != line {
				section = file + ", " + strings.TrimSpace(anchor.ReplaceAllString(title, ""))
			}
			if strings.Contains(line, "MUST") {
				sections[section] = true
			}
		}
	}
	for section := range sections {
		if !had[section] {
			t.Errorf("no row of CONFORMANCE.md begins with %q", section+":")
		}
	}
	for section := range had {
		if !sections[section] {
			t.Errorf("CONFORMANCE.md has a row of %q, where there is no MUST", section)
		}
	}
}

// TestEveryDemandIsMet: a row about a MUST says yes, or that and why it was decided
// otherwise, and names a test; n/a binds no runtime on Linux.
func TestEveryDemandIsMet(t *testing.T) {
	for _, row := range rows(t) {
		if !demand.MatchString(row[0]) {
			continue
		}
		status, _, _ := strings.Cut(strings.TrimLeft(row[len(row)-1], " "), " ")
		tested := strings.Contains(row[2], "Test")
		switch status = strings.TrimRight(status, ":;,"); {
		case status == "n/a":
		case !tested, status != "yes" && status != "decided":
			t.Errorf("%s: status %q, tests %q", row[0], status, row[2])
		}
	}
}

// TestConformanceNamesWhatIsThere: every test and file that a row names exists.
func TestConformanceNamesWhatIsThere(t *testing.T) {
	out, err := exec.Command("git", "-C", "..", "ls-files").Output()
	if err != nil {
		t.Skipf("no git repository: %v", err)
	}
	files := strings.Fields(string(out))
	var tests strings.Builder
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			text, err := os.ReadFile("../" + f)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			tests.Write(text)
		}
	}
	for _, row := range rows(t) {
		for _, word := range names(strings.Join(row[1:], " ")) {
			// Several are named as TestThing...
			if strings.HasPrefix(word, "Test") && len(word) > 4 && !strings.Contains(tests.String(), "func "+word+"(") &&
				(!strings.Contains(strings.Join(row[1:], " "), word+"...") || !strings.Contains(tests.String(), "func "+word)) {
				t.Errorf("%s: there is no %s", row[0], word)
			}
		}
		for name := range strings.SplitSeq(row[1], "`") {
			if strings.HasSuffix(name, ".go") && !slices.ContainsFunc(files, func(f string) bool { return f == name || strings.HasSuffix(f, "/"+name) }) {
				t.Errorf("%s: there is no %s", row[0], name)
			}
		}
	}
}
