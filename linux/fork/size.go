// SPDX-License-Identifier: Apache-2.0

package fork

import "unsafe"

// size returns the number of bytes that compile takes for the ops and the strings.
func (p *Program) size() int {
	n := aligned(uintptr(len(p.steps)+outsideOps) * unsafe.Sizeof(op{}))
	for i := range p.steps {
		for j := range p.steps[i].Args {
			switch a := &p.steps[i].Args[j]; a.kind {
			case str:
				n += aligned(uintptr(len(a.name)) + 1)
			case strs:
				n += aligned(uintptr(len(a.vec.strs)+1) * unsafe.Sizeof((*byte)(nil)))
				for _, s := range a.vec.strs {
					n += aligned(uintptr(len(s)) + 1)
				}
			}
		}
	}
	return n
}
