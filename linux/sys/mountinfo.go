// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Mountpoint is one line of a mountinfo file, as far as anybody here needs it.
type Mountpoint struct {
	Path string // where it is mounted, seen from the root of the file's process
	Root string // the directory of the filesystem that is mounted there
	Type string // of the filesystem
}

// ReadMountinfo reads a mountinfo file (proc_pid_mountinfo(5)):
//
//	ID parent major:minor root mountpoint options [tag...] - type source super
//
// A mount comes behind the one that it is mounted on.
func ReadMountinfo(r io.Reader) ([]Mountpoint, error) {
	var all []Mountpoint
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20) // an overlay's options can be long
	for s.Scan() {
		head, tail, ok := strings.Cut(s.Text(), " - ")
		f := strings.Fields(head)
		if !ok || len(f) < 5 {
			continue
		}
		fstype, _, _ := strings.Cut(tail, " ")
		all = append(all, Mountpoint{Path: unescape(f[4]), Root: unescape(f[3]), Type: fstype})
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("read mountinfo: %w", err)
	}
	return all, nil
}

// unescape replaces the \ooo by which the kernel writes blanks, backslashes and the like
// (mangle_path, fs/seq_file.c).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && isOctal(s[i+1:i+4]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isOctal(s string) bool { return strings.Trim(s, "01234567") == "" }
