// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// mountError says that a mount could not be made. Its text is
// `mount tmpfs on /run: no space left on device`.
type mountError struct {
	kind   string // filesystem type, "bind", or what else was being mounted
	target string // path in the container
	err    error  // usually an *os.SyscallError or *os.PathError
}

// Error says what was mounted where and why it failed. It leaves out the name of the
// system call, which Unwrap has, unless the errno is EINVAL or EPERM: those say too
// little without it.
func (e *mountError) Error() string {
	cause := e.err.Error()
	var call *os.SyscallError
	vague := errors.Is(e.err, unix.EINVAL) || errors.Is(e.err, unix.EPERM)
	if !vague && errors.As(e.err, &call) && call.Error() == cause { // nothing wraps it
		cause = call.Err.Error()
	}
	return fmt.Sprintf("mount %s on %s: %s", e.kind, e.target, cause)
}

// Unwrap returns the cause.
func (e *mountError) Unwrap() error { return e.err }

// wrap adds what was being mounted to an error; nil stays nil.
func wrap(kind, target string, err error) error {
	if err == nil {
		return nil
	}
	return &mountError{kind: kind, target: target, err: err}
}

// missing reports whether err says that a path leads to nothing.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// exists reports whether err says that something is where a new file was to be made.
func exists(err error) bool { return errors.Is(err, fs.ErrExist) }

// invalid returns the error for a field whose value can never be right.
func invalid(field, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", field, fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
}

// unsupported returns the error for a field whose value is right but cannot be honoured.
func unsupported(field, what string) error {
	return fmt.Errorf("%s: %s: %w", field, what, errdefs.ErrNotImplemented)
}
