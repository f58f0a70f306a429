// SPDX-License-Identifier: Apache-2.0

// Package sys holds the system calls that golang.org/x/sys/unix lacks or that
// mini wants in one shape: they take and return *os.File, set close-on-exec,
// retry EINTR, keep the files alive for the call, and return *os.PathError or
// *os.SyscallError with the call's name as Op. A path in an error is for
// humans; nothing opens it again.
//
// One file per family of calls. unsafe is allowed here and in linux/fork only.
package sys
