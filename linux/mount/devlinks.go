// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"os"
	"sync"

	"github.com/containerd-mini/mini/linux/sys"
)

// linkDev makes the links that programs expect in /dev. It keeps what is there already,
// except for ptmx, which must lead to the container's own devpts.
func linkDev(dev int) error {
	links := [][2]string{
		{"/proc/self/fd", "fd"},
		{"/proc/self/fd/0", "stdin"},
		{"/proc/self/fd/1", "stdout"},
		{"/proc/self/fd/2", "stderr"},
	}
	if hasKcore() {
		links = append(links, [2]string{"/proc/kcore", "core"})
	}
	for _, l := range links {
		if err := sys.SymlinkAt(l[0], dev, l[1]); err != nil && !exists(err) {
			return fmt.Errorf("link /dev/%s: %w", l[1], err)
		}
	}
	err := sys.SymlinkAt("pts/ptmx", dev, "ptmx")
	if exists(err) {
		if err = sys.UnlinkAt(dev, "ptmx", 0); err == nil {
			err = sys.SymlinkAt("pts/ptmx", dev, "ptmx")
		}
	}
	if err != nil {
		return fmt.Errorf("link /dev/ptmx: %w", err)
	}
	return nil
}

// hasKcore reports whether the kernel has /proc/kcore, which /dev/core points to.
var hasKcore = sync.OnceValue(func() bool {
	_, err := os.Stat("/proc/kcore")
	return err == nil
})
