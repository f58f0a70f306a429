// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// MaxSocketPath is the longest path a unix socket can be bound to, less the
// terminating NUL and one that containerd keeps clear of (sun_path, unix(7)).
const MaxSocketPath = 106

// ErrInUse says that a process answers on the socket.
var ErrInUse = errors.New("socket is in use")

// NewSocket makes the socket that ListenOn names. The caller closes it.
func NewSocket() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	return fd, os.NewSyscallError("socket", err)
}

// Listen is ListenOn of a new socket, which the caller closes.
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

// ListenOn has a socket listen at path, as a file of mode 0600, in a directory of
// mode 0700 that is made if missing. A socket nobody listens on any more is
// replaced; ErrInUse is returned for one that is listened on. Two processes that
// share the socket may both call it: the first does it.
//
// Making, probing and removing sockets of one directory is serialised over all
// processes by a lock on it: a socket between bind(2) and listen(2) looks dead.
//
// The file mode comes from the umask, which is the process's: not to be called
// while another goroutine creates files.
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
	// Who was killed between the two calls has left it named.
	named, err := isNamed(fd)
	if err == nil && !named {
		err = bind(fd, path)
	}
	if err != nil {
		return err
	}
	if err := unix.Listen(fd, unix.SOMAXCONN); err != nil {
		unix.Unlink(path)
		return &os.PathError{Op: "listen", Path: path, Err: err}
	}
	return nil
}

// isNamed tells whether the socket has a path.
func isNamed(fd int) (bool, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return false, os.NewSyscallError("getsockname", err)
	}
	a, ok := sa.(*unix.SockaddrUnix)
	return ok && len(a.Name) > 1, nil // "@" is none
}

// Listens tells whether listen(2) was called for the socket.
func Listens(fd int) bool {
	on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && on != 0
}

// Answers tells whether a process of our own user listens at path. Unlike ListenOn
// it takes no lock: who begins to listen meanwhile may be missed.
func Answers(path string) (bool, error) {
	if err := checkPath(path); err != nil {
		return false, err
	}
	return probe(path)
}

func checkPath(path string) error {
	if len(path) > MaxSocketPath {
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

// RemoveDead removes the socket at path unless a process listens on it. Nothing
// there is no error.
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

// unlink removes a socket, if there is one, and nothing else: connect(2) says of
// a file what it says of a dead socket.
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

// probe tells whether a process of our own user listens at path. Where the answer
// must be right the directory is locked.
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
	// For a connected socket these are the credentials of listen(2).
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return false, os.NewSyscallError("getsockopt SO_PEERCRED", err)
	}
	if int(cred.Uid) != unix.Geteuid() {
		return false, &os.PathError{Op: "connect", Path: path, Err: unix.EPERM}
	}
	return true, nil
}

// lockDir locks a directory against other processes that do the same, making
// it first if create is set.
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
