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

// Error is a mount that could not be made. Its text is
// `mount tmpfs on /run: no space left on device`.
type Error struct {
	Type   string // filesystem type, "bind", or what else was being mounted
	Target string // path in the container
	Err    error  // usually an *os.SyscallError or *os.PathError
}

// Error says what was mounted where and why it failed. The name of the system
// call is left out when the errno says enough, which EINVAL and EPERM do not; Unwrap
// has it.
func (e *Error) Error() string {
	cause := e.Err.Error()
	var call *os.SyscallError
	vague := errors.Is(e.Err, unix.EINVAL) || errors.Is(e.Err, unix.EPERM)
	if !vague && errors.As(e.Err, &call) && call.Error() == cause { // nothing wraps it
		cause = call.Err.Error()
	}
	return fmt.Sprintf("mount %s on %s: %s", e.Type, e.Target, cause)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// wrap adds what was being mounted to an error; nil stays nil.
func wrap(kind, target string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Type: kind, Target: target, Err: err}
}

// wrap is wrap for a mount of the specification.
func (e *entry) wrap(err error) error {
	if err != nil && e.maker == makeRemount {
		return fmt.Errorf("remount %s: %w", e.dest, err)
	}
	return wrap(e.fstype, e.dest, err)
}

// missing tells that a path leads to nothing.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// exists tells that there is something where a new file was to be made.
func exists(err error) bool { return errors.Is(err, fs.ErrExist) }

// invalid is a spec that cannot be right.
func invalid(field, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", field, fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
}

// unsupported is a spec that is right and cannot be honoured.
func unsupported(field, what string) error {
	return fmt.Errorf("%s: %s: %w", field, what, errdefs.ErrNotImplemented)
}
