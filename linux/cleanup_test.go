// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"os"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestCleanup kills what a dead shim's record names, and neither a later
// container at the same path nor, without a record, anything at all.
func TestCleanup(t *testing.T) {
	testenv.Root(t)
	bundle, spec := newBundle(t), newSpec(t, "sleep", "1000")
	var rec Record
	c, err := Create(t.Context(), &Config{ID: "c", Bundle: bundle, Spec: spec, Record: func(r Record) error { rec = r; return nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(c.Destroy(t.Context()), c.Init().Close()); err != nil {
			t.Error(err)
		}
	}()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	alive := func() bool { return c.Init().Signal(0) == nil }
	other := rec
	other.Inode++
	for name, r := range map[string]*Record{"without a record": nil, "of an earlier container": &other} {
		if err := Cleanup(t.Context(), bundle, "c", spec, r, Options{}); err != nil {
			t.Errorf("clean-up %s: %v", name, err)
		}
		if !alive() {
			t.Fatalf("clean-up %s killed the container", name)
		}
	}
	if err := Cleanup(t.Context(), bundle, "c", spec, &rec, Options{}); err != nil {
		t.Error(err)
	}
	if s, err := c.Init().Wait(); err != nil || s.Code != 137 {
		t.Errorf("exit %+v, %v", s, err)
	}
	h, err := hierarchy()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(h.Mountpoint + rec.Cgroup); !os.IsNotExist(err) {
		t.Errorf("the cgroup is still there: %v", err)
	}
	if err := Cleanup(t.Context(), bundle, "c", spec, &rec, Options{}); err != nil {
		t.Errorf("a second time: %v", err)
	}
}
