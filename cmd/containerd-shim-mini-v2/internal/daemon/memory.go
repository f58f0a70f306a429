// SPDX-License-Identifier: Apache-2.0

package daemon

import "runtime/debug"

// gcPercent is GOGC: a shim holds some hundred kilobytes that live and is one of
// many on its machine.
const gcPercent = 40

// trimMemory keeps the heap near what is live.
func trimMemory() {
	debug.SetGCPercent(gcPercent)
}
