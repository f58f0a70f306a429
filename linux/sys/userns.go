// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"os"
	"strings"
)

// InUserNamespace tells whether uids are mapped, which they are not in the first
// user namespace: root here is not the host's then.
func InUserNamespace() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	return strings.Join(strings.Fields(string(data)), " ") != "0 0 4294967295"
}
