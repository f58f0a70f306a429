// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/containerd/errdefs"
)

// codedError is an error of the system with the errdefs sentinel that tells a
// caller what to do about it. The text is the system's own.
type codedError struct {
	error
	code error
}

// Unwrap is the system's error and the errdefs sentinel.
func (e *codedError) Unwrap() []error { return []error{e.error, e.code} }

// coded gives an error about a file that a caller named the errdefs sentinel
// for it: ErrNotFound, ErrPermissionDenied, ErrResourceExhausted. Other errors
// stay as they are.
func coded(err error) error {
	for _, c := range codes {
		if errors.Is(err, c.is) {
			return &codedError{err, c.code}
		}
	}
	return err
}

var codes = []struct{ is, code error }{
	{fs.ErrNotExist, errdefs.ErrNotFound},
	{syscall.ENOTDIR, errdefs.ErrNotFound},
	{fs.ErrPermission, errdefs.ErrPermissionDenied},
	{syscall.ENOSPC, errdefs.ErrResourceExhausted},
}
