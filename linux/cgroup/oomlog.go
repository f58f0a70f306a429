// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxRecord is the longest record of the kernel's log (PRINTKRB_RECORD_MAX is 1024,
// with its dictionary and what is escaped).
const maxRecord = 8192

// killLog is the kernel's log since the time that it was opened.
type killLog struct{ file *os.File }

// openKillLog is nil where the log cannot be read, and then has no kills.
func openKillLog() *killLog {
	file, err := open(nil, "/dev/kmsg", unix.O_RDONLY)
	if err != nil {
		return nil
	}
	// It does not block only from here on: Go would poll it, and each message of the
	// kernel's wake the shim.
	if err := withFd(file, func(fd int) error {
		_, err := unix.Seek(fd, 0, io.SeekEnd)
		return errors.Join(err, unix.SetNonblock(fd, true))
	}); err != nil {
		_ = file.Close()
		return nil
	}
	return &killLog{file}
}

func (l *killLog) close() {
	if l != nil {
		_ = l.file.Close() // it is only read from
	}
}

// kills is how often, since the last call, the kernel says that it killed a process
// of the group at the path, or of one below it, for want of memory. There may have
// been more: the log forgets old records, has no more than ten kills in five seconds
// (oom_kill_process in the kernel's mm/oom_kill.c), and of a whole group that is
// killed only the first process.
func (l *killLog) kills(path string) (n uint64) {
	if l == nil {
		return 0
	}
	buf := make([]byte, maxRecord)
	_ = withFd(l.file, func(fd int) error { // EAGAIN: no more
		for {
			got, err := unix.Read(fd, buf)
			switch {
			case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINTR): // EPIPE: one was overwritten
			case err != nil || got == 0:
				return err
			case isKillIn(string(buf[:got]), path):
				n++
			}
		}
	})
	return n
}

// isKillIn reports whether a record of the log is of a kill in the group at the path or
// below it. Processes can write to the log as well, but not in the kernel's name,
// which is 0 in all but the lowest three bits of the first number. The victim's name
// comes after its group.
func isKillIn(record, path string) bool {
	head, text, _ := strings.Cut(record, ";")
	level, _, _ := strings.Cut(head, ",")
	if len(level) != 1 || !strings.HasPrefix(text, "oom-kill:") {
		return false
	}
	_, text, _ = strings.Cut(text, ",task_memcg=")
	at, _, found := strings.Cut(text, ",task=")
	return found && (strings.HasSuffix(at, path) || strings.Contains(at, path+"/"))
}
