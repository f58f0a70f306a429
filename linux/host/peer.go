// SPDX-License-Identifier: Apache-2.0

package host

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// CheckPeer returns nil if the process at the other end of a unix socket had
// our effective uid when it connected (SO_PEERCRED, unix(7)), else EPERM. The
// socket's mode keeps others out too, but not root of a container that shares the host's
// user ids, nor a process that was given the socket (CVE-2020-15257).
func CheckPeer(conn syscall.Conn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	switch {
	case cerr != nil:
		return cerr
	case err != nil:
		return os.NewSyscallError("getsockopt SO_PEERCRED", err)
	case int(cred.Uid) != unix.Geteuid():
		return os.NewSyscallError("connect", unix.EPERM)
	}
	return nil
}
