// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/integration/testenv/bpfprog"
	"golang.org/x/sys/unix"
)

// returns is a program that answers v: mov32 r0, v; exit.
func returns(v uint32) []uint64 { return []uint64{0xb4 | uint64(v)<<32, 0x95} }

func openCgroup(t *testing.T) *os.File {
	t.Helper()
	dir, err := os.Open(testenv.Cgroup(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

func loadFilter(t *testing.T, code []uint64) *os.File {
	t.Helper()
	prog, err := LoadDeviceFilter(code)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { prog.Close() })
	return prog
}

func TestDeviceFilterIsReplacedInPlace(t *testing.T) {
	testenv.Root(t)
	dir := openCgroup(t)
	attached := func() []uint32 {
		t.Helper()
		ids, err := bpfprog.Attached(dir)
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	if ids := attached(); len(ids) != 0 {
		t.Fatalf("a new group has programs %v", ids)
	}
	a, b := loadFilter(t, returns(1)), loadFilter(t, returns(0))
	if err := AttachDeviceFilter(dir, a, nil); err != nil {
		t.Fatal(err)
	}
	first := attached()
	if err := AttachDeviceFilter(dir, b, a); err != nil {
		t.Fatal(err)
	}
	second := attached()
	if len(first) != 1 || len(second) != 1 || first[0] == second[0] {
		t.Errorf("attached %v, then %v", first, second)
	}
	if err := AttachDeviceFilter(dir, loadFilter(t, returns(1)), a); !errors.Is(err, unix.ENOENT) {
		t.Errorf("replacing what is not attached: %v", err)
	}
	a.Close()
	if !programEnds(t, first[0]) {
		t.Error("the replaced program lives on")
	}
}

func TestDeviceFilterEndsWithItsCgroup(t *testing.T) {
	testenv.Root(t)
	dir := openCgroup(t)
	prog := loadFilter(t, returns(0))
	if err := AttachDeviceFilter(dir, prog, nil); err != nil {
		t.Fatal(err)
	}
	ids, err := bpfprog.Attached(dir)
	if err != nil || len(ids) != 1 {
		t.Fatal(ids, err)
	}
	prog.Close()
	if err := os.Remove(dir.Name()); err != nil {
		t.Fatal(err)
	}
	dir.Close()
	if !programEnds(t, ids[0]) {
		t.Error("the program outlives its cgroup")
	}
}

// programEnds waits until the kernel knows the program no more: it frees it
// some time after the last use.
func programEnds(t *testing.T, id uint32) bool {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		there, err := bpfprog.Exists(id)
		if err != nil {
			t.Fatal(err)
		}
		if !there {
			return true
		}
	}
	return false
}

func TestVerifierSaysWhatIsWrong(t *testing.T) {
	testenv.Root(t)
	_, err := LoadDeviceFilter([]uint64{0x95}) // exit without a value
	var refused *verifierError
	if !errors.As(err, &refused) || !errors.Is(err, unix.EACCES) || !strings.Contains(refused.Log, "R0") {
		t.Errorf("%v", err)
	}
}

func TestAttachToWhatIsNoCgroup(t *testing.T) {
	testenv.Root(t)
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	err = AttachDeviceFilter(dir, loadFilter(t, returns(1)), nil)
	if !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), dir.Name()) {
		t.Errorf("%v", err)
	}
}
