// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"os"
	"testing"
)

func TestParseStat(t *testing.T) {
	const rest = " 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 10"
	for text, want := range map[string]ProcStat{
		"12 (sh) S" + rest:             {false, 7, 4711},
		"12 (a) R 9 (b c) ) Z" + rest:  {true, 7, 4711}, // a name with all that a parser could trip over
		"12 (\n) S" + rest:             {false, 7, 4711},
		"12 (sh) S":                    {},
		"":                             {},
		"12 (sh) S x" + rest[2:]:       {},
		"12 (sh) S 7 1 1 0 -1 4194560": {},
	} {
		got, err := parseStat([]byte(text))
		if got != want || (err == nil) != (want != ProcStat{}) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func TestReadProcStat(t *testing.T) {
	got, err := ReadProcStat(os.Getpid())
	if err != nil || got.Parent != os.Getppid() || got.Start == 0 {
		t.Errorf("%+v, %v; parent %d", got, err, os.Getppid())
	}
}
