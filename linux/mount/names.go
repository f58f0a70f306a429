// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"maps"
	"slices"
)

// OptionNames are the mount options that Prepare honours, sorted: what a runtime
// tells of itself (features.md, "mountOptions").
func OptionNames() []string {
	names := slices.Sorted(maps.Keys(flags))
	return slices.DeleteFunc(names, func(n string) bool { return flags[n].class == classIDMap })
}
