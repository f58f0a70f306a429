// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"

	"github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Stats reads what the group uses. Parts whose controller the group lacks are nil, except
// for the CPU's: every cgroup counts its time. Stats waits for no other operation on the
// group except another Stats.
func (g *Group) Stats() (*stats.Metrics, error) {
	g.stat.mu.Lock()
	defer g.stat.mu.Unlock()
	if g.stat.closed {
		return nil, fmt.Errorf("read cgroup %s: it was removed: %w", g.path, errdefs.ErrNotFound)
	}
	r := reader{g: g}
	have := parseControllers(r.always("cgroup.controllers"))
	m := &stats.Metrics{CPU: r.cpu()}
	if have.has("pids") {
		m.Pids = &stats.PidsStat{Current: r.number("pids.current"), Limit: r.number("pids.max")}
	}
	if have.has("memory") {
		m.Memory = r.memory()
		m.MemoryEvents = r.memoryEvents()
	}
	if have.has("io") {
		m.Io = &stats.IOStat{Usage: parseIO(r.text("io.stat")), PSI: r.pressure("io.pressure")}
	}
	if have.has("hugetlb") {
		m.Hugetlb = r.hugetlb()
	}
	if have.has("rdma") {
		m.Rdma = &stats.RdmaStat{Current: parseRdma(r.text("rdma.current")), Limit: parseRdma(r.text("rdma.max"))}
	}
	if gone(r.err) || errors.Is(r.err, os.ErrClosed) {
		return nil, fmt.Errorf("read cgroup %s: it was removed: %w", g.path, errdefs.ErrNotFound)
	}
	return m, r.err
}

// reader reads files of a group, and keeps the first error. Files that this
// kernel does not have are empty. Precondition: stat.mu is held.
type reader struct {
	g   *Group
	err error
}

// always returns the contents of a file that each group has until it is removed.
// Precondition: r.err is nil.
func (r *reader) always(name string) (text string) {
	text, r.err = r.g.stat.read(r.g.dir, name)
	return text
}

// text returns what the file holds.
func (r *reader) text(name string) string {
	if r.err != nil {
		return ""
	}
	text := r.always(name)
	if errors.Is(r.err, unix.ENOENT) || errors.Is(r.err, unix.EOPNOTSUPP) {
		r.err = nil
	}
	return text
}

func (r *reader) number(name string) uint64 {
	return number(firstLine(r.text(name)))
}
