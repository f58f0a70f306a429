// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// names holds the system calls that plans use, as syscalls(2) spells them.
var names = map[uintptr]string{
	opNop:  "nop",
	opSet:  "set",
	opByte: "expect",
	opFail: "fail",

	unix.SYS_CAPSET:            "capset",
	unix.SYS_CHDIR:             "chdir",
	unix.SYS_CHROOT:            "chroot",
	unix.SYS_CLONE:             "clone",
	unix.SYS_CLOSE:             "close",
	unix.SYS_CLOSE_RANGE:       "close_range",
	unix.SYS_DUP3:              "dup3",
	unix.SYS_EXECVE:            "execve",
	unix.SYS_EXIT_GROUP:        "exit_group",
	unix.SYS_FACCESSAT2:        "faccessat2",
	unix.SYS_FCHDIR:            "fchdir",
	unix.SYS_FCHMODAT:          "fchmodat",
	unix.SYS_FCHOWN:            "fchown",
	unix.SYS_FCHOWNAT:          "fchownat",
	unix.SYS_FCNTL:             "fcntl",
	unix.SYS_FSCONFIG:          "fsconfig",
	unix.SYS_FSMOUNT:           "fsmount",
	unix.SYS_FSOPEN:            "fsopen",
	unix.SYS_FSTATFS:           "fstatfs",
	unix.SYS_GETCWD:            "getcwd",
	unix.SYS_IOCTL:             "ioctl",
	unix.SYS_IOPRIO_SET:        "ioprio_set",
	unix.SYS_KEYCTL:            "keyctl",
	unix.SYS_LSEEK:             "lseek",
	unix.SYS_MKDIRAT:           "mkdirat",
	unix.SYS_MKNODAT:           "mknodat",
	unix.SYS_NEWFSTATAT:        "newfstatat",
	unix.SYS_OPENAT:            "openat",
	unix.SYS_OPENAT2:           "openat2",
	unix.SYS_PERSONALITY:       "personality",
	unix.SYS_PIPE2:             "pipe2",
	unix.SYS_PRCTL:             "prctl",
	unix.SYS_PRLIMIT64:         "prlimit64",
	unix.SYS_READ:              "read",
	unix.SYS_RECVFROM:          "recvfrom",
	unix.SYS_RECVMSG:           "recvmsg",
	unix.SYS_RT_SIGPROCMASK:    "rt_sigprocmask",
	unix.SYS_SCHED_SETAFFINITY: "sched_setaffinity",
	unix.SYS_SCHED_SETATTR:     "sched_setattr",
	unix.SYS_SECCOMP:           "seccomp",
	unix.SYS_SENDFILE:          "sendfile",
	unix.SYS_SENDMSG:           "sendmsg",
	unix.SYS_SENDTO:            "sendto",
	unix.SYS_SET_MEMPOLICY:     "set_mempolicy",
	unix.SYS_SETDOMAINNAME:     "setdomainname",
	unix.SYS_SETFSGID:          "setfsgid",
	unix.SYS_SETFSUID:          "setfsuid",
	unix.SYS_SETGROUPS:         "setgroups",
	unix.SYS_SETHOSTNAME:       "sethostname",
	unix.SYS_SETNS:             "setns",
	unix.SYS_SETRESGID:         "setresgid",
	unix.SYS_SETRESUID:         "setresuid",
	unix.SYS_SETSID:            "setsid",
	unix.SYS_SOCKET:            "socket",
	unix.SYS_STATX:             "statx",
	unix.SYS_SYMLINKAT:         "symlinkat",
	unix.SYS_UMASK:             "umask",
	unix.SYS_UNSHARE:           "unshare",
	unix.SYS_UTIMENSAT:         "utimensat",
	unix.SYS_WAITID:            "waitid",
	unix.SYS_WRITE:             "write",
}

func name(nr uintptr) string {
	if n, ok := names[nr]; ok {
		return n
	}
	return fmt.Sprintf("syscall_%d", nr)
}
