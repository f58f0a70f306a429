// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"strconv"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// BenchmarkLifecycle is what a container without limits costs: its group, its
// device filter, the removal.
func BenchmarkLifecycle(b *testing.B) {
	h, base := benchHierarchy(b)
	for i := range b.N {
		g, err := h.Create(base+"/c"+strconv.Itoa(i), nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := g.Apply(nil); err != nil {
			b.Fatal(err)
		}
		if err := g.Delete(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreate(b *testing.B) {
	h, base := benchHierarchy(b)
	for i := range b.N {
		g, err := h.Create(base+"/c"+strconv.Itoa(i), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := g.Delete(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkApplyFilter(b *testing.B) {
	h, base := benchHierarchy(b)
	linux := &specs.Linux{}
	for i := range b.N {
		b.StopTimer()
		g, err := h.Create(base+"/c"+strconv.Itoa(i), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := g.Apply(linux); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := g.Delete(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkPlaceInSlot(b *testing.B) {
	g := benchGroup(b)
	for range b.N {
		s, err := g.Place(1, false)
		if err != nil {
			b.Fatal(err)
		}
		s.Release()
	}
}

func BenchmarkStats(b *testing.B) {
	g := benchGroup(b)
	for range b.N {
		if _, err := g.Stats(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPids(b *testing.B) {
	g := benchGroup(b)
	for range b.N {
		if _, err := g.Pids(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFreezeThaw(b *testing.B) {
	g := benchGroup(b)
	for range b.N {
		if err := g.Freeze(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := g.Thaw(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func benchHierarchy(b *testing.B) (*Hierarchy, string) {
	testenv.Root(b)
	h := openHierarchy(b)
	return h, testBase(b, h)
}

func benchGroup(b *testing.B) *Group {
	h, base := benchHierarchy(b)
	return newGroup(b, h, base+"/c")
}
