// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/sys"
	"github.com/containerd/errdefs"
)

// Each *.json in testdata/devices is a linux section; its *.txt is the program.
func TestDeviceRulesBecomeAProgram(t *testing.T) {
	files, err := filepath.Glob("testdata/devices/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no test data", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list, err := deviceRules(resources(t, string(data)).Devices, nil)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		code, err := assemble(list)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		golden(t, strings.TrimSuffix(file, ".json")+".txt", dump(code))
	}
}

// dump writes a program as text.
func dump(p []insn) string {
	names := []string{"r0", "r1", "kind", "wanted", "major", "minor", "device"}
	var b strings.Builder
	for i, in := range p {
		dst, src := names[in>>8&0xf], names[in>>12&0xf]
		to, imm := i+1+int(int16(in>>16)), uint32(in>>32)
		number := fmt.Sprint(imm)
		if dst == "device" {
			number = fmt.Sprintf("%d:%d", imm>>minorBits, imm&maxMinor)
		}
		line := map[uint8]string{
			opLoad:   fmt.Sprintf("%s = u32 at %s + %d", dst, src, int16(in>>16)),
			opMov:    fmt.Sprintf("%s = %s", dst, src),
			opMovImm: fmt.Sprintf("%s = %d", dst, imm),
			opAnd:    fmt.Sprintf("%s &= %#x", dst, imm),
			opOr:     fmt.Sprintf("%s |= %s", dst, src),
			opLsh:    fmt.Sprintf("%s <<= %d", dst, imm),
			opRsh:    fmt.Sprintf("%s >>= %d", dst, imm),
			opGoto:   fmt.Sprintf("goto %d", to),
			opJeq:    fmt.Sprintf("if %s == %s goto %d", dst, number, to),
			opJne:    fmt.Sprintf("if %s != %s goto %d", dst, number, to),
			opJset:   fmt.Sprintf("if %s & %#x goto %d", dst, imm, to),
			opExit:   "exit",
		}[uint8(in)]
		fmt.Fprintf(&b, "%3d  %s\n", i, line)
	}
	return b.String()
}

// run is what the kernel would answer to an access, by the same instructions.
func run(t *testing.T, p []insn, kind deviceKind, major, minor uint32, want access) bool {
	t.Helper()
	ctx := map[int16]uint32{0: uint32(want)<<16 | uint32(kind), 4: major, 8: minor}
	var r [11]uint32
	for i := 0; i < len(p); i++ {
		in := p[i]
		dst, src, off, imm := in>>8&0xf, in>>12&0xf, int16(in>>16), uint32(in>>32)
		jump := false
		switch uint8(in) {
		case opLoad:
			r[dst] = ctx[off]
		case opMov:
			r[dst] = r[src]
		case opMovImm:
			r[dst] = imm
		case opAnd:
			r[dst] &= imm
		case opOr:
			r[dst] |= r[src]
		case opLsh:
			r[dst] <<= imm
		case opRsh:
			r[dst] >>= imm
		case opGoto:
			jump = true
		case opJeq:
			jump = r[dst] == imm
		case opJne:
			jump = r[dst] != imm
		case opJset:
			jump = r[dst]&imm != 0
		case opExit:
			return r[r0] == 1
		}
		if jump {
			i += int(off)
		}
	}
	t.Fatal("the program has no end")
	return false
}

// covers reports whether r decides whenever o would.
func (r deviceRule) covers(o deviceRule) bool {
	return (r.kind == anyKind || r.kind == o.kind) &&
		(r.major == anyNumber || r.major == o.major) &&
		(r.minor == anyNumber || r.minor == o.minor) &&
		o.access&^r.access == 0
}

// decide is the specification: each kind of access has the answer of the last
// rule that matches it, and all must be allowed.
func decide(rules []deviceRule, kind deviceKind, major, minor int64, want access) bool {
	for bit := accMknod; bit <= accWrite; bit <<= 1 {
		allowed := false
		for _, r := range rules {
			if r.covers(deviceRule{kind: kind, major: major, minor: minor, access: bit}) {
				allowed = r.allow
			}
		}
		if want&bit != 0 && !allowed {
			return false
		}
	}
	return true
}

func TestProgramDecidesAsTheRulesSay(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	number := func(any bool) int64 {
		if any && rnd.IntN(3) == 0 {
			return anyNumber
		}
		return []int64{0, 1, 2, 4095, 4096, 1 << 20}[rnd.IntN(6)]
	}
	for range 3000 {
		all := []deviceRule{{false, anyKind, anyNumber, anyNumber, accAll}}
		for range rnd.IntN(8) {
			all = append(
				all,
				deviceRule{rnd.IntN(2) == 0, deviceKind(rnd.IntN(3)), number(true), number(true), access(1 + rnd.IntN(7))},
			)
		}
		kept := effective(all)
		code, err := assemble(kept)
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			kind, want := deviceKind(1+rnd.IntN(2)), access(1+rnd.IntN(7))
			major, minor := min(number(false), maxMajor), min(number(false), maxMinor)
			if got := run(t, code, kind, uint32(major), uint32(minor), want); got != decide(all, kind, major, minor, want) {
				t.Fatalf(
					"kind %d, %d:%d, access %03b: %v\nrules %+v\nkept %+v\n%s",
					kind,
					major,
					minor,
					want,
					got,
					all,
					kept,
					dump(code),
				)
			}
		}
	}
}

func TestKernelTakesManyRules(t *testing.T) {
	testenv.Root(t)
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{0, 1, 64, 1000} {
		list := []deviceRule{{false, anyKind, anyNumber, anyNumber, accAll}}
		for i := range n {
			list = append(
				list,
				deviceRule{rnd.IntN(2) == 0, deviceKind(rnd.IntN(3)), int64(i % 100), int64(i / 100), access(1 + rnd.IntN(7))},
			)
		}
		code, err := assemble(effective(list))
		if err != nil {
			t.Fatal(err)
		}
		prog, err := sys.LoadDeviceFilter(code)
		if err != nil {
			t.Fatalf("%d rules: %v", n, err)
		}
		prog.Close()
	}
}

func TestTooManyRules(t *testing.T) {
	if _, err := assemble(make([]deviceRule, maxRules+1)); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Error(err)
	}
	most := make([]deviceRule, maxRules)
	for i := range most { // the longest code: two jumps and an instruction in both parts
		most[i] = deviceRule{allow: true, major: int64(i % 4000), minor: 1, access: accRead}
	}
	code, err := assemble(most)
	if err != nil {
		t.Fatal(err)
	}
	if got := run(t, code, blockDevice, 3999, 1, accRead); !got {
		t.Error("a jump went wrong")
	}
	if got := run(t, code, charDevice, 0, 2, accRead); got {
		t.Error("a jump went wrong")
	}
}
