// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxSocketPath is the longest path of a socket: the 108 bytes of sun_path (unix(7)),
// without the terminating NUL and one that containerd does not use either.
const maxSocketPath = 106

// ErrInUse says that a process listens on the socket.
var ErrInUse = errors.New("socket is in use")

// NewSocket makes a socket for ListenOn. The caller closes it.
func NewSocket() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	return fd, os.NewSyscallError("socket", err)
}

// Listen returns a new socket that listens at path. The caller closes it.
func Listen(path string) (fd int, err error) {
	if fd, err = NewSocket(); err != nil {
		return -1, err
	}
	if err := ListenOn(fd, path); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// ListenOn makes a socket listen at path, as a file of mode 0600. It makes the directory
// with mode 0700 if it is missing. It replaces a socket on which nobody listens, and
// returns ErrInUse if somebody does. Two processes that share the socket may both call it:
// the second call does nothing.
//
// A lock on the directory serialises making, probing and removing its sockets among all
// processes: a socket between bind(2) and listen(2) looks dead.
//
// Precondition: no other goroutine creates files. The file mode comes from the umask,
// which all threads share.
func ListenOn(fd int, path string) error {
	if err := checkPath(path); err != nil {
		return err
	}
	dir, _ := split(path)
	unlock, err := lockDir(dir, true)
	if err != nil {
		return err
	}
	defer unlock()
	if Listens(fd) {
		return nil // the other process was first
	}
	// A process that was killed between bind and listen has left the socket named.
	named, err := isNamed(fd)
	if err == nil && !named {
		err = bind(fd, path)
	}
	if err != nil {
		return err
	}
	if err := unix.Listen(fd, unix.SOMAXCONN); err != nil {
		_ = unix.Unlink(path) // the next ListenOn replaces it
		return &os.PathError{Op: "listen", Path: path, Err: err}
	}
	return nil
}

// isNamed reports whether the socket has a path.
func isNamed(fd int) (bool, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return false, os.NewSyscallError("getsockname", err)
	}
	a, ok := sa.(*unix.SockaddrUnix)
	return ok && len(a.Name) > 1, nil // "@" is none
}

// Listens reports whether listen(2) was called for the socket.
func Listens(fd int) bool {
	on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && on != 0
}

// Answers reports whether a process of our own user listens at path. Unlike ListenOn it
// takes no lock, so it may miss a process that begins to listen meanwhile.
func Answers(path string) (bool, error) {
	if err := checkPath(path); err != nil {
		return false, err
	}
	return probe(path)
}

func checkPath(path string) error {
	if len(path) > maxSocketPath {
		return &os.PathError{Op: "bind", Path: path, Err: unix.ENAMETOOLONG}
	}
	return nil
}

func bind(fd int, path string) error {
	old := unix.Umask(0o177)
	defer unix.Umask(old)
	addr := &unix.SockaddrUnix{Name: path}
	err := unix.Bind(fd, addr)
	if err == unix.EADDRINUSE {
		answers, perr := probe(path)
		if perr != nil {
			return perr
		}
		if answers {
			return fmt.Errorf("bind %s: %w", path, ErrInUse)
		}
		if err := unlink(path); err != nil {
			return err
		}
		err = unix.Bind(fd, addr)
	}
	if err != nil {
		return &os.PathError{Op: "bind", Path: path, Err: err}
	}
	return nil
}

// RemoveDead removes the socket at path unless a process listens on it. A missing socket is
// no error.
func RemoveDead(path string) error {
	dir, _ := split(path)
	unlock, err := lockDir(dir, false)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	answers, err := probe(path)
	if err != nil || answers {
		return err
	}
	return unlink(path)
}

// unlink removes a socket, and no other file: connect(2) has the same error for a regular
// file and a dead socket. A missing socket is no error.
func unlink(path string) error {
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		err = unix.ENOTSOCK
	}
	if err == nil {
		err = unix.Unlink(path)
	}
	if err != nil && err != unix.ENOENT {
		return &os.PathError{Op: "unlink", Path: path, Err: err}
	}
	return nil
}

// probe reports whether a process of our own user listens at path. The answer is exact only
// while the directory is locked.
func probe(path string) (bool, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	switch err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err {
	case nil:
	case unix.ECONNREFUSED, unix.ENOENT:
		return false, nil
	case unix.EAGAIN: // its backlog is full
		return true, nil
	default:
		return false, &os.PathError{Op: "connect", Path: path, Err: err}
	}
	// For a connected socket these are the credentials at listen(2).
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return false, os.NewSyscallError("getsockopt SO_PEERCRED", err)
	}
	if int(cred.Uid) != unix.Geteuid() {
		return false, &os.PathError{Op: "connect", Path: path, Err: unix.EPERM}
	}
	return true, nil
}

// lockDir locks a directory against others that call lockDir. It makes a missing directory
// if create is set.
func lockDir(dir string, create bool) (unlock func(), err error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	fd, err := unix.Open(dir, flags, 0)
	if err == unix.ENOENT && create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		fd, err = unix.Open(dir, flags, 0)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	for {
		err = unix.Flock(fd, unix.LOCK_EX)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "flock", Path: dir, Err: err}
	}
	return func() { unix.Close(fd) }, nil
}
