// SPDX-License-Identifier: Apache-2.0

// Package bpfprog asks the kernel about the eBPF programs that it has.
package bpfprog

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Attached lists the ids of the device programs attached to the cgroup
// directory itself, not those of its ancestors. There can be 64 at most.
func Attached(cgroup *os.File) ([]uint32, error) {
	// The kernel writes the fields behind count whatever size it is told
	// (6.17 until 7.2): they must exist.
	var attr struct {
		target, kind, query, flags uint32
		ids                        uint64
		count, _                   uint32
		_, _, _, _                 uint64
	}
	ids := make([]uint32, 64)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&ids[0])
	attr.target = uint32(cgroup.Fd())
	attr.kind = unix.BPF_CGROUP_DEVICE
	attr.ids = uint64(uintptr(unsafe.Pointer(&ids[0])))
	attr.count = uint32(len(ids))
	_, err := bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	runtime.KeepAlive(cgroup)
	if err != 0 {
		return nil, &os.PathError{Op: "bpf(BPF_PROG_QUERY)", Path: cgroup.Name(), Err: err}
	}
	return ids[:attr.count], nil
}

// Exists reports whether the kernel has an eBPF program of that id, whoever holds
// it (BPF_PROG_GET_FD_BY_ID, kernel 4.13). It needs CAP_SYS_ADMIN.
func Exists(id uint32) (bool, error) {
	attr := struct{ id, next, flags uint32 }{id: id}
	fd, err := bpf(unix.BPF_PROG_GET_FD_BY_ID, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	switch err {
	case 0:
		return true, unix.Close(int(fd))
	case unix.ENOENT:
		return false, nil
	}
	return false, &os.SyscallError{Syscall: "bpf(BPF_PROG_GET_FD_BY_ID)", Err: err}
}

// bpf is bpf(2); its attributes must hold no pointer to memory that is not pinned.
func bpf(cmd uintptr, attr unsafe.Pointer, size uintptr) (uintptr, unix.Errno) {
	r, _, err := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
	return r, err
}
