// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// With tmpcopyup a tmpfs is to get the files that it covers: each after its
// directory, directories finished when all is in them, and no more of them at once
// than may be open. What is mounted below stays behind; a new directory has nothing.
func TestTmpfsCopiesUp(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := bundle(t, typed("tmpfs", "/up", "tmpcopyup"), typed("tmpfs", "/new", "tmpcopyup"))
		up := c.RootPath + "/up"
		write(t, up+"/dir/sub/file", "text")
		must(t, os.Symlink("/etc/shadow", up+"/link"), os.Mkdir(up+"/mnt", 0o700))
		tmpfs(t, up+"/mnt", 0)
		write(t, up+"/mnt/below", "")
		for i := range 2 * maxCopies {
			write(t, fmt.Sprintf("%s/many/%d", up, i), "")
		}
		var names []string
		c.CopyUp = func(to *os.File, batch []Copy) error {
			if to.Name() != "/up" {
				t.Errorf("%s gets %d files", to.Name(), len(batch))
			}
			if len(batch) == 0 || len(batch) > maxCopies {
				t.Errorf("%d at once", len(batch))
			}
			for _, one := range batch {
				name := one.Name
				if one.Filled {
					name += "/"
				}
				if regular := one.Stat.Mode&unix.S_IFMT == unix.S_IFREG; regular != (one.From != nil) {
					t.Errorf("%s: contents %v", name, one.From)
				}
				if one.Link != "" {
					name += " -> " + one.Link
				}
				names = append(names, name)
			}
			return nil
		}
		start(t, c)
		if want := 2*maxCopies + 10; len(names) != want {
			t.Errorf("got %d, want %d: %q", len(names), want, names)
		}
		order := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !strings.HasPrefix(n, "dir") })
		if want := []string{"dir", "dir/sub", "dir/sub/file", "dir/sub/", "dir/"}; !slices.Equal(order, want) {
			t.Errorf("got %q, want %q", order, want)
		}
		for _, want := range []string{"link -> /etc/shadow", "mnt", "mnt/", "many/7", "many/"} {
			if !slices.Contains(names, want) {
				t.Errorf("%s is missing", want)
			}
		}
	})
}

// TestTmpfsIsNotCopied: what goes wrong ends the mount, with the name of it.
func TestTmpfsIsNotCopied(t *testing.T) {
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		c := bundle(t, typed("tmpfs", "/up", "tmpcopyup"))
		write(t, c.RootPath+"/up/file", "text")
		c.CopyUp = func(*os.File, []Copy) error { return fmt.Errorf("copy up file: %w", unix.ENOSPC) }
		refused(t, c, "mount tmpfs on /up: copy up file: no space left on device")
	})
}
