// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"os"
	"strings"
)

// InUserNamespace reports whether this process is outside of the first user namespace: its
// uids are mapped, so that root here is not the host's root.
func InUserNamespace() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	return strings.Join(strings.Fields(string(data)), " ") != "0 0 4294967295"
}
