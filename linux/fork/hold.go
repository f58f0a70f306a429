// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fault"
)

// holdTime is the number of seconds that a child sleeps at a fault point, so that a test
// can kill what it wants to.
const holdTime = 3

// Hold is a fault point in the child: nothing, but in a build with the tag
// faultpoint (package fault).
func (p *Program) Hold(name string) {
	if fault.InChild(name) {
		p.Call("hold at "+name, unix.SYS_NANOSLEEP, Mem(New(p, unix.Timespec{Sec: holdTime}), "time"), Int(0))
	}
}
