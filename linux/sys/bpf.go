// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loadRetries bounds how often a BPF_PROG_LOAD is repeated that a signal interrupted. The
// verifier then returns EAGAIN (kernel 4.20 and later).
const loadRetries = 30

// verifierLog is the size of the buffer for the verifier's log about a refused program.
const verifierLog = 64 << 10

// LoadDeviceFilter loads a BPF_PROG_TYPE_CGROUP_DEVICE program into the kernel and returns
// its file. Each instruction is a struct bpf_insn as a little-endian number:
// opcode, registers, offset, immediate from the low bits up. The program lives
// as long as the file or an attachment. It needs CAP_BPF and CAP_NET_ADMIN, or
// CAP_SYS_ADMIN; no RLIMIT_MEMLOCK since kernel 5.11.
func LoadDeviceFilter(insns []uint64) (*os.File, error) {
	license := append([]byte("Apache-2.0"), 0)
	attr := struct {
		progType, insnCnt uint32
		insns, license    uint64
		logLevel, logSize uint32
		logBuf            uint64
		kernVersion       uint32
		flags             uint32
		name              [16]byte
	}{
		progType: unix.BPF_PROG_TYPE_CGROUP_DEVICE,
		insnCnt:  uint32(len(insns)),
		name:     [16]byte{'m', 'i', 'n', 'i', '_', 'd', 'e', 'v', 'i', 'c', 'e'},
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(unsafe.SliceData(insns))
	pin.Pin(&license[0])
	attr.insns = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(insns))))
	attr.license = uint64(uintptr(unsafe.Pointer(&license[0])))

	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	for i := 0; err == unix.EAGAIN && i < loadRetries; i++ {
		fd, err = bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	}
	if err == 0 {
		return os.NewFile(fd, "bpf:cgroup_device"), nil
	}
	if err != unix.EINVAL && err != unix.EACCES { // not the verifier's
		return nil, &os.SyscallError{Syscall: "bpf(BPF_PROG_LOAD)", Err: err}
	}
	log := make([]byte, verifierLog)
	pin.Pin(&log[0])
	attr.logLevel, attr.logSize = 1, verifierLog
	attr.logBuf = uint64(uintptr(unsafe.Pointer(&log[0])))
	if fd, again := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); again == 0 {
		return os.NewFile(fd, "bpf:cgroup_device"), nil
	}
	return nil, &verifierError{Err: err, Log: unix.ByteSliceToString(log)}
}

// verifierError is the kernel's refusal of an eBPF program.
type verifierError struct {
	Err error  // the errno
	Log string // what the verifier says
}

func (e *verifierError) Error() string {
	return "bpf(BPF_PROG_LOAD): " + e.Err.Error() + ": " + e.Log
}

// Unwrap returns the errno.
func (e *verifierError) Unwrap() error { return e.Err }

// AttachDeviceFilter attaches prog to the cgroup directory beside the programs
// of its ancestors (BPF_F_ALLOW_MULTI, kernel 4.15). If old is a program that is attached
// there, prog replaces it atomically (BPF_F_REPLACE, kernel 5.6). The attachment ends with
// the cgroup.
func AttachDeviceFilter(cgroup, prog, old *os.File) error {
	attr := struct{ target, prog, kind, flags, replace uint32 }{
		target: uint32(cgroup.Fd()),
		prog:   uint32(prog.Fd()),
		kind:   unix.BPF_CGROUP_DEVICE,
		flags:  unix.BPF_F_ALLOW_MULTI,
	}
	if old != nil {
		attr.flags |= unix.BPF_F_REPLACE
		attr.replace = uint32(old.Fd())
	}
	_, err := bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	runtime.KeepAlive(cgroup)
	runtime.KeepAlive(prog)
	runtime.KeepAlive(old)
	if err != 0 {
		return &os.PathError{Op: "bpf(BPF_PROG_ATTACH)", Path: cgroup.Name(), Err: err}
	}
	return nil
}

// bpf is bpf(2); its attributes must hold no pointer to memory that is not
// pinned. File descriptors that it makes are close-on-exec.
func bpf(cmd uintptr, attr unsafe.Pointer, size uintptr) (uintptr, unix.Errno) {
	for {
		r, _, err := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
		if err != unix.EINTR {
			return r, err
		}
	}
}
