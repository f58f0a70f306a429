// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"math"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// KeepOnly appends steps that close every descriptor from 3 on except those of files
// and conn. It ignores nil files. Otherwise a child that waits would hold the shim's
// connections and other containers' streams open, and nobody would see their end, even
// after the shim's death. close_range(2), Linux 5.9.
func (p *Program) KeepOnly(conn *sys.Conn, files ...*os.File) {
	keep := []uint32{uint32(conn.Fd())}
	for _, f := range files {
		if f == nil {
			continue
		}
		if fd := sys.FD(f); fd >= 0 {
			keep = append(keep, uint32(fd))
		}
	}
	slices.Sort(keep)
	from := uint32(3)
	for _, fd := range slices.Compact(keep) {
		if fd > from {
			p.closeRange(from, fd-1)
		}
		from = max(from, fd+1)
	}
	p.closeRange(from, math.MaxUint32)
}

// closeRange appends a step whose text has no numbers, because those differ from run to run.
func (p *Program) closeRange(from, to uint32) {
	gap := func(fd uint32) Arg { return Arg{value: uintptr(fd), kind: named, name: "<gap>"} }
	p.Call("close the shim's descriptors", unix.SYS_CLOSE_RANGE, gap(from), gap(to))
}
