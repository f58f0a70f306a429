// SPDX-License-Identifier: Apache-2.0

package toml

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadRefusesALargeFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "options.toml")
	if err := os.WriteFile(file, []byte(strings.Repeat("\n", maxFile)+"IoUid = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if values, err := Load("", file); err == nil {
		t.Errorf("got %v", values)
	}
	if err := os.Truncate(file, maxFile); err != nil {
		t.Fatal(err)
	}
	if _, err := Load("", file); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"IoGid = 1_000\nIoUid = 0x3e8\nNoPivotRoot = false # a comment\nRoot = \"/run/\\u006dini\\t\"",
		"a = \"\\U0010ffff\"",
		"'k' = 'v'#",
		"a=+1",
		"a = 0b1",
		"\xff",
		"a = \"\\",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		values, err := parse(text)
		if err != nil && values != nil {
			t.Fatalf("values with an error: %v", values)
		}
		for _, v := range values {
			switch v.value.(type) {
			case bool, int64, string:
			default:
				t.Fatalf("%s is a %T", v.Key, v.value)
			}
			if v.Line < 1 || v.Line > strings.Count(text, "\n")+1 {
				t.Fatalf("%s is in line %d", v.Key, v.Line)
			}
		}
	})
}
