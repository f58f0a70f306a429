// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv/bpfvm"
	"github.com/containerd-mini/mini/linux/seccomp"
)

// rounds is how many random sections a test makes: SECCOMP_ROUNDS, or a number for
// every day.
func rounds(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("SECCOMP_ROUNDS"))
	if err != nil {
		return 200
	}
	t.Logf("%d rounds", n)
	return n
}

// TestRandomSections compares sections in which the order of rules does not
// matter. Mini's verdict must be the section's. libseccomp's must be as well, but
// where it merges several conditional rules of one call, which it does wrong at times.
func TestRandomSections(t *testing.T) {
	for _, goarch := range []string{"amd64", "arm64"} {
		t.Run(goarch, func(t *testing.T) {
			sum, failed := tally{}, 0
			for seed := range rounds(t) {
				r := rand.New(rand.NewPCG(1, uint64(seed)))
				s := randomSection(r, goarch, true)
				o, err := ask(s, goarch)
				if err != nil {
					t.Fatalf("seed %d: libseccomp: %v", seed, err)
				}
				f, err := seccomp.CompileFor(goarch, s)
				if err != nil {
					t.Fatalf("seed %d: mini: %v", seed, err)
				}
				if difference := compare(t, s, f, o, goarch, 12, r, &sum); difference != "" {
					text, err := json.Marshal(s)
					if err != nil {
						t.Fatal(err)
					}
					t.Errorf("seed %d: %s\n%s", seed, difference, text)
					if failed++; failed > 3 {
						break
					}
				}
			}
			t.Logf("%d calls asked about; libseccomp was wrong about %d", sum.asked, sum.wrong)
		})
	}
}

// TestRandomContradictions compares sections whose rules overlap and say different
// things. Mini gives one of the verdicts that they say, and all but always the same
// as libseccomp, which sorts rules likewise. Sections that contradict themselves plainly
// are refused by both; libseccomp refuses some more, and takes a few where another rule
// hides the contradiction.
func TestRandomContradictions(t *testing.T) {
	var sum tally
	differ, refused, alone, n := 0, 0, 0, rounds(t)
	for seed := range n {
		r := rand.New(rand.NewPCG(3, uint64(seed)))
		s := randomSection(r, "amd64", false)
		o, theirs := ask(s, "amd64")
		f, err := seccomp.CompileFor("amd64", s)
		if theirs != nil {
			refused++
			continue
		}
		if err != nil {
			if alone++; alone > 1+n/200 {
				t.Fatalf("seed %d: only mini refuses: %v, and %d more", seed, err, alone-1)
			}
			continue
		}
		for d := range calls(s, "amd64", 12, r) {
			sum.asked++
			got, want := run(t, f.Program, d), o.verdict(t, d)
			if got == want {
				continue
			}
			meant := bpfvm.Meaning(s, "amd64", resolve, d)
			if !slices.Contains(meant, got) {
				t.Fatalf("seed %d: %+v: mini %#x, not one of %#x", seed, d, got, meant)
			}
			if slices.Contains(meant, want) {
				differ++
			}
		}
	}
	t.Logf("%d calls asked about, %d with another verdict; %d sections refused, %d by mini alone", sum.asked, differ, refused, alone)
	if refused == 0 || differ > sum.asked/100_000 {
		t.Errorf("%d of %d calls have another verdict, %d sections were refused", differ, sum.asked, refused)
	}
}
