// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/integration/testenv/bpfprog"
	"github.com/containerd-mini/mini/linux/sys"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// opens tells which of reading, writing and both a shell in the group can open
// the device for. c 1:11 is the one that no container may use by itself.
func opens(t *testing.T, g *Group) string {
	t.Helper()
	var can []string
	for name, redirect := range map[string]string{"r": "<", "w": ">", "rw": "<>"} {
		if into(t, g.Dir(), ": "+redirect+" /dev/kmsg").Wait() == nil {
			can = append(can, name)
		}
	}
	return strings.Join(sortedBy(can, []string{"r", "w", "rw"}), " ")
}

func sortedBy(have, order []string) (list []string) {
	for _, o := range order {
		for _, h := range have {
			if h == o {
				list = append(list, o)
			}
		}
	}
	return list
}

func TestKernelAsksTheFilter(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	if got := opens(t, g); got != "r w rw" {
		t.Skipf("without a filter /dev/kmsg opens for %q", got)
	}
	const kmsg = `"type":"c","major":1,"minor":11`
	apply := func(rules string) error {
		return g.Apply(&specs.Linux{Resources: resources(t, `{"devices":[`+rules+`]}`)})
	}
	for _, c := range []struct{ rules, want string }{
		{`{"allow":true,"access":"rwm"}`, "r w rw"},
		{``, ""},
		{`{"allow":false,"access":"rwm"}`, ""},
		{`{"allow":true,` + kmsg + `,"access":"r"}`, "r"},
		{`{"allow":true,` + kmsg + `,"access":"r"},{"allow":true,"type":"c","major":1,"access":"w"}`, "r w rw"},
		{`{"allow":true,"access":"rwm"},{"allow":false,` + kmsg + `,"access":"w"}`, "r"},
		{`{"allow":true,"type":"b","major":1,"minor":11,"access":"rwm"}`, ""},
		{`{"allow":true,"type":"c","major":1,"access":"rwm"}`, "r w rw"},
		{`{"allow":true,"minor":11,"access":"rwm"}`, "r w rw"},
		{`{"allow":true,` + kmsg + `,"access":"rw"},{"allow":false,"access":"rwm"}`, ""},
	} {
		if err := apply(c.rules); err != nil {
			t.Fatalf("%s: %v", c.rules, err)
		}
		if got := opens(t, g); got != c.want {
			t.Errorf("[%s] allows %q, want %q", c.rules, got, c.want)
		}
		if err := into(t, g.Dir(), "cat </dev/zero | head -c 1 >/dev/null").Wait(); err != nil {
			t.Errorf("[%s] denies /dev/zero and /dev/null: %v", c.rules, err)
		}
	}
}

func TestFilterHoldsInSlotsToo(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	if err := g.Apply(nil); err != nil {
		t.Fatal(err)
	}
	s, err := g.Place(1, false)
	if err != nil {
		t.Fatal(err)
	}
	if into(t, s.Dir(), ": </dev/kmsg").Wait() == nil {
		t.Error("an exec may read a device that its container may not")
	}
	s.Release()
}

func TestUpdateOfTheFilter(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	id := func() uint32 {
		t.Helper()
		ids, err := bpfprog.Attached(g.Dir())
		if err != nil || len(ids) != 1 {
			t.Fatalf("programs %v, %v", ids, err)
		}
		return ids[0]
	}
	if err := g.Apply(nil); err != nil {
		t.Fatal(err)
	}
	first := id()
	for _, same := range []string{`{}`, `{"cpu":{"shares":1024}}`, `{"devices":[{"allow":false,"access":"rwm"}]}`} {
		if err := g.Update(resources(t, same)); err != nil {
			t.Fatal(err)
		}
		if id() != first {
			t.Errorf("%s replaced the filter by an equal one", same)
		}
	}
	if err := g.Update(resources(t, `{"devices":[{"allow":true,"access":"rwm"}]}`)); err != nil {
		t.Fatal(err)
	}
	if id() == first {
		t.Error("the filter was not replaced")
	}
	if err := into(t, g.Dir(), ": </dev/kmsg").Wait(); err != nil {
		t.Errorf("a device that the update allows: %v", err)
	}
}

// TestFilterBesideOthers: a program that somebody else has attached, as systemd does,
// stays and holds, whatever becomes of ours; and ours beside it.
func TestFilterBesideOthers(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	list, err := deviceRules(resources(t, `{"devices":[{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}`).Devices, nil)
	if err != nil {
		t.Fatal(err)
	}
	code, err := assemble(list)
	if err != nil {
		t.Fatal(err)
	}
	prog, err := sys.LoadDeviceFilter(code)
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	if err := sys.AttachDeviceFilter(g.Dir(), prog, nil); err != nil {
		t.Fatal(err)
	}
	others, err := bpfprog.Attached(g.Dir())
	if err != nil || len(others) != 1 {
		t.Fatalf("programs %v, %v", others, err)
	}
	if err := g.Apply(nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ access, want string }{{"w", ""}, {"rw", "r"}, {"m", ""}} {
		if err := g.Update(resources(t, `{"devices":[{"allow":true,"type":"c","major":1,"minor":11,"access":"`+c.access+`"}]}`)); err != nil {
			t.Fatal(err)
		}
		ids, err := bpfprog.Attached(g.Dir())
		if err != nil || len(ids) != 2 || !slices.Contains(ids, others[0]) {
			t.Errorf("%s: programs %v, %v; want %d and one more", c.access, ids, err, others[0])
		}
		if got := opens(t, g); got != c.want {
			t.Errorf("r of others and %s: opens for %q, want %q", c.access, got, c.want)
		}
	}
}

// TestUpdateOfTheFilterHasNoGap: while one filter takes the place of another, what
// both allow never fails, and what both deny never succeeds.
func TestUpdateOfTheFilterHasNoGap(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	if err := g.Apply(nil); err != nil {
		t.Fatal(err)
	}
	cmd := into(t, g.Dir(), "while :; do (: </dev/zero) || exit 1; (: </dev/kmsg) 2>/dev/null && exit 2; done")
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
		for _, major := range []int{200, 201} {
			if err := g.Update(resources(t, fmt.Sprintf(`{"devices":[{"allow":true,"type":"c","major":%d,"access":"rw"}]}`, major))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("an open went wrong: %v", err)
	}
}

// TestNoFilterIsLeaked: of each update's program nothing is left when the next one
// has taken its place, and of the last one when the group is gone.
func TestNoFilterIsLeaked(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	var seen []uint32
	for i := range 20 {
		if err := g.Update(resources(t, fmt.Sprintf(`{"devices":[{"allow":true,"type":"c","major":%d,"access":"rw"}]}`, 200+i))); err != nil {
			t.Fatal(err)
		}
		ids, err := bpfprog.Attached(g.Dir())
		if err != nil || len(ids) != 1 {
			t.Fatalf("programs %v, %v", ids, err)
		}
		if there, err := bpfprog.Exists(ids[0]); !there || err != nil {
			t.Fatalf("the attached program: %v, %v", there, err)
		}
		seen = append(seen, ids[0])
	}
	freed := func(ids []uint32) {
		t.Helper()
		for _, id := range ids {
			for ctx := within(t); ; time.Sleep(time.Millisecond) { // the kernel lets go of it a little later
				there, err := bpfprog.Exists(id)
				if err != nil || ctx.Err() != nil {
					t.Fatalf("program %d is there: %v, %v", id, there, err)
				}
				if !there {
					break
				}
			}
		}
	}
	freed(seen[:len(seen)-1])
	if err := g.Delete(within(t)); err != nil {
		t.Fatal(err)
	}
	freed(seen)
}

func TestPrivilegedContainerHasNoFilter(t *testing.T) {
	testenv.Root(t)
	h := openHierarchy(t)
	g := newGroup(t, h, testBase(t, h)+"/c")
	if err := g.Apply(&specs.Linux{Resources: resources(t, `{"devices":[{"allow":true,"access":"rwm"}]}`)}); err != nil {
		t.Fatal(err)
	}
	if ids, err := bpfprog.Attached(g.Dir()); len(ids) != 0 || err != nil {
		t.Errorf("programs %v, %v", ids, err)
	}
}
