// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ProcStat is what /proc/PID/stat says of a process (proc_pid_stat(5)).
type ProcStat struct {
	Dead   bool   // it is a zombie, or less
	Parent int    // its parent's pid; 0: the parent is in no pid namespace that procfs sees
	Start  uint64 // when it began, in clock ticks since the machine did
}

// ReadProcStat reads the stat file of a process.
func ReadProcStat(pid int) (ProcStat, error) {
	text, err := ReadProc(strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ProcStat{}, err
	}
	return parseStat(text)
}

// parseStat counts fields from behind the command's name, which is in brackets and
// may hold anything, brackets and spaces too.
func parseStat(text []byte) (s ProcStat, err error) {
	const state, parent, start = 0, 4 - 3, 22 - 3 // the state is field 3, and the first of these
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) <= start {
		return ProcStat{}, fmt.Errorf("parse /proc/PID/stat: %q", text)
	}
	s.Dead = bytes.ContainsAny(fields[state], "ZX")
	if s.Parent, err = strconv.Atoi(string(fields[parent])); err != nil {
		return ProcStat{}, fmt.Errorf("parse /proc/PID/stat: %w", err)
	}
	if s.Start, err = strconv.ParseUint(string(fields[start]), 10, 64); err != nil {
		return ProcStat{}, fmt.Errorf("parse /proc/PID/stat: %w", err)
	}
	return s, nil
}

// Inode is what a file is known by as long as it exists.
type Inode struct{ Dev, Ino uint64 }

// InodeOf is the inode of an open file.
func InodeOf(f *os.File) (Inode, error) {
	var st unix.Stat_t
	if err := Control(f, func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
		return Inode{}, &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
	}
	return Inode{Dev: st.Dev, Ino: st.Ino}, nil
}

// NamespaceOf is the inode of a namespace of a process, given as its directory in
// procfs: "123" or "123/task/124". kind is a name in /proc/PID/ns. ENOENT or ESRCH: the
// process, or that thread of it, is dead.
func NamespaceOf(process, kind string) (Inode, error) {
	dir, err := OpenProc(process+"/ns", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return Inode{}, err
	}
	defer dir.Close()
	var st unix.Stat_t
	err = Control(dir, func(fd int) error { return unix.Fstatat(fd, kind, &st, 0) })
	if err != nil {
		return Inode{}, fmt.Errorf("stat /proc/%s/ns/%s: %w", process, kind, err)
	}
	return Inode{Dev: st.Dev, Ino: st.Ino}, nil
}
