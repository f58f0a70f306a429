// SPDX-License-Identifier: Apache-2.0

package host

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ReleaseImage unmaps the pages of this program's file from this process. They stay in the
// page cache; a minor fault brings a used page and its neighbours back. A start touches
// most of the file, and little of that is needed again.
func ReleaseImage() error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	exe, err := os.Readlink(selfExe)
	if err != nil {
		return err
	}
	for _, m := range fileMappings(string(maps), exe) {
		_, _, errno := unix.Syscall(unix.SYS_MADVISE, m[0], m[1]-m[0], unix.MADV_DONTNEED)
		if errno != 0 {
			return os.NewSyscallError("madvise", errno)
		}
	}
	return nil
}

// fileMappings lists the address ranges, start and end, of the read-only
// mappings of a file in the text of /proc/<pid>/maps (proc_pid_maps(5)). Writable mappings
// have pages that the file does not have.
func fileMappings(maps, file string) [][2]uintptr {
	var found [][2]uintptr
	for line := range strings.Lines(maps) {
		var start, end, offset uintptr
		var perms, dev string
		var inode uint64
		n, _ := fmt.Sscanf(line, "%x-%x %s %x %s %d", &start, &end, &perms, &offset, &dev, &inode)
		name := strings.TrimSuffix(line[strings.IndexByte(line+"/", '/'):], "\n")
		if n == 6 && inode != 0 && !strings.Contains(perms, "w") && name == file {
			found = append(found, [2]uintptr{start, end})
		}
	}
	return found
}
