// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"slices"
	"strings"
)

// environment is what execve gets: of a variable set twice the last one counts,
// at the place of the first (as runc does). home is the index of HOME when it is
// to be filled in, which an absent or an empty one is; -1 otherwise.
func environment(env []string) (out []string, home int) {
	at := map[string]int{}
	for _, e := range env {
		key, _, ok := strings.Cut(e, "=")
		if !ok {
			out = append(out, e) // execve takes it; so do the peers
			continue
		}
		if i, dup := at[key]; dup {
			out[i] = e
			continue
		}
		at[key] = len(out)
		out = append(out, e)
	}
	if i, ok := at["HOME"]; ok {
		if out[i] != "HOME=" {
			return out, -1
		}
		return out, i
	}
	return append(out, "HOME="), len(out)
}

// getenv is the last value of key, and whether it is set.
func getenv(env []string, key string) (string, bool) {
	for _, e := range slices.Backward(env) {
		if k, v, ok := strings.Cut(e, "="); ok && k == key {
			return v, true
		}
	}
	return "", false
}
