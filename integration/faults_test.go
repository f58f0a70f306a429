// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// faultPoint is a step of the shim, or of a child that it cloned, at which it can
// be held (package linux/fault).
type faultPoint struct {
	name    string // operation.step
	inChild bool
}

func (p faultPoint) operation() string {
	operation, _, _ := strings.Cut(p.name, ".")
	return operation
}

// faultPoints finds all of them in the source of the shim.
func faultPoints(t *testing.T) []faultPoint {
	t.Helper()
	call := regexp.MustCompile(`(fault\.Point|\.Hold)\("([a-z]+\.[a-z-]+)"\)`)
	var points []faultPoint
	for _, dir := range []string{"cmd", "task", "process", "linux"} {
		err := filepath.WalkDir("../"+dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			for _, m := range call.FindAllStringSubmatch(string(source), -1) {
				points = append(points, faultPoint{m[2], m[1] == ".Hold"})
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return points
}

// holder arms one fault point.
type holder struct {
	h     *harness
	point faultPoint
	file  string
}

func (h *harness) hold(faults string, point faultPoint) *holder {
	return &holder{h, point, filepath.Join(faults, point.name)}
}

// arm has whoever comes to the point from now on held.
func (o *holder) arm() {
	for _, f := range o.files() {
		o.h.must(os.WriteFile(f, nil, 0o600))
	}
}

// files are what arms the point. Those of linux/room.go are on the way of an exec for
// which its container has no room beside its forerunner.
func (o *holder) files() []string {
	if o.point.operation() == "room" {
		return []string{filepath.Join(filepath.Dir(o.file), noRoom), o.file}
	}
	return []string{o.file}
}

// noRoom is the file at whose sight the clone of an exec's forerunner fails once.
const noRoom = "room.none"

// release lets go. A child that sleeps goes on by itself after holdTime seconds.
func (o *holder) release() {
	for _, f := range append(o.files(), o.file+".held") {
		if err := os.Remove(f); err != nil && !os.IsNotExist(err) {
			o.h.Fatal(err)
		}
	}
}

// await waits until somebody is held, and returns the child's pid if it is one.
// done has the error of an operation that ended without it.
func (o *holder) await(done <-chan error) (child int) {
	o.h.Helper()
	for end := time.Now().Add(testenv.Patience(20 * time.Second)); ; time.Sleep(2 * time.Millisecond) {
		if o.point.inChild {
			if child = o.h.sleeper(); child > 0 {
				return child
			}
		} else if _, err := os.Stat(o.file + ".held"); err == nil {
			return 0
		}
		select {
		case err := <-done:
			o.h.Fatalf("the operation was not held at %s: %v", o.point.name, err)
		default:
		}
		if time.Now().After(end) {
			o.h.Fatalf("the operation did not come to %s; log:\n%s", o.point.name, tail(o.h.d.Log()))
		}
	}
}

// sleeper is the child of a shim that sleeps at a fault point: in nanosleep(2),
// with the memory of the shim, and so its command line.
func (h *harness) sleeper() int {
	h.Helper()
	all, err := bed.Processes()
	h.must(err)
	for _, p := range all {
		call, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", p.Pid))
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.Pid))
		if err == nil && strings.HasPrefix(string(call), fmt.Sprintf("%d ", syscall.SYS_NANOSLEEP)) && strings.Contains(exe, "containerd-shim-mini") && p.Parent != 1 {
			return p.Pid
		}
	}
	return 0
}

// processes are the pids of those that match, but this one, its children, init
// and both daemons.
func (h *harness) processes(match func(bed.Process) bool) []int {
	h.Helper()
	all, err := bed.Processes()
	h.must(err)
	var pids []int
	for _, p := range all {
		if p.Pid != 1 && p.Pid != os.Getpid() && p.Parent != os.Getpid() && p.Pid != h.d.Pid() && p.Pid != daemon.Pid() && match(p) {
			pids = append(pids, p.Pid)
		}
	}
	return pids
}
