// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Mark tells the processes of an exec from all others in the container's group: a
// cgroup namespace that the exec's first process made and all others of the exec have
// inherited. Its root is that of the container's namespace, so nothing looks different
// in it (cgroup_namespaces(7)). The Mark holds it open, so that no other namespace gets
// its number. A nil Mark has no processes.
type Mark struct {
	file  *os.File
	inode sys.Inode
}

// OpenMark opens the mark of a process that has made it, or returns nil if the process has
// ended. Precondition: pid is a child that nobody has waited for.
func OpenMark(pid int) (*Mark, error) {
	file, err := sys.OpenProcLink(strconv.Itoa(pid)+"/ns", "cgroup", unix.O_RDONLY)
	if isDead(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	inode, err := sys.InodeOf(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Mark{file: file, inode: inode}, nil
}

// Close closes the namespace.
func (m *Mark) Close() error {
	if m == nil {
		return nil
	}
	return m.file.Close()
}

// on reports whether a process has the mark. If the first thread of the process has
// ended before the others, it looks at one of those. ESRCH: the process is dead.
func (m *Mark) on(pid int) (bool, error) {
	if m == nil {
		return false, nil
	}
	process := strconv.Itoa(pid)
	ns, err := sys.NamespaceOf(process, "cgroup")
	if !isDead(err) {
		return ns == m.inode, err
	}
	threads, err := sys.ThreadsOf(process)
	if err != nil {
		return false, err
	}
	for _, tid := range threads {
		ns, err := sys.NamespaceOf(process+"/task/"+tid, "cgroup")
		if !isDead(err) {
			return ns == m.inode, err
		}
	}
	return false, unix.ESRCH
}

// isDead reports whether err says that a process has ended: /proc/PID does not exist, or
// the process is a zombie, which has no namespaces.
func isDead(err error) bool { return errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) }

func unlessDead(err error) error {
	if isDead(err) {
		return nil
	}
	return err
}
