// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// SendFile connects to the stream socket at path, sends data with file's descriptor
// (SCM_RIGHTS) at its first byte, and closes the connection. timeout bounds the wait for a
// listener that does not accept or does not read.
func SendFile(path string, data []byte, file *os.File, timeout time.Duration) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	limit := unix.NsecToTimeval(timeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := Retry(func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) }); err != nil {
		return &os.PathError{Op: "connect", Path: path, Err: err}
	}
	rights := unix.UnixRights(FD(file))
	for len(data) > 0 {
		n, err := unix.SendmsgN(fd, data, rights, nil, unix.MSG_NOSIGNAL)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return &os.PathError{Op: "sendmsg", Path: path, Err: err}
		case n == 0:
			return fmt.Errorf("sendmsg %s: nothing was sent", path)
		default:
			data, rights = data[n:], nil
		}
	}
	return nil
}
