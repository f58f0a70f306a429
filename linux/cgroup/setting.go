// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// setting is one value of linux.resources for one cgroup file. compile makes settings
// without looking at the kernel, and write writes them.
type setting struct {
	field      string // where the spec has it, for messages
	controller string
	file       string
	value      string
	// plain says that the value is what the kernel does anyway, so that it needs no
	// controller.
	plain bool

	// What differs from "write value to file":

	orFile, orValue string // where file does not exist
	absentOK        bool   // no such file: nothing to do
	soft            bool   // EINVAL is no error: a later setting repeats it
	keepFirst       bool   // value follows the first word that the file has now
	lines           bool   // one write(2) for each line
}

// core stands for files that every cgroup has, whatever its controllers.
const core = "cgroup"

// write writes the setting to a file of the group with this directory.
func (s *setting) write(dir *os.File) error {
	file, value := s.file, s.value
	if s.keepFirst {
		now, err := readFile(dir, file)
		if err != nil {
			return &settingError{field: s.field, value: value, err: err}
		}
		first, _, _ := strings.Cut(strings.TrimSpace(string(now)), " ")
		value = first + " " + value
	}
	err := s.writeValue(dir, file, value)
	if errors.Is(err, unix.ENOENT) && s.orFile != "" {
		value = s.orValue
		err = s.writeValue(dir, s.orFile, value)
	}
	switch {
	case err == nil,
		s.absentOK && errors.Is(err, unix.ENOENT),
		s.soft && errors.Is(err, unix.EINVAL):
		return nil
	}
	return &settingError{field: s.field, value: value, err: err}
}

func (s *setting) writeValue(dir *os.File, file, value string) error {
	if !s.lines || value == "" {
		return writeFile(dir, file, value)
	}
	for line := range strings.Lines(value) {
		if err := writeFile(dir, file, strings.TrimSuffix(line, "\n")); err != nil {
			return err
		}
	}
	return nil
}

// absent returns the error for a setting whose controller is absent.
func (s *setting) absent() error {
	return unsupported(s.field, fmt.Sprintf("the cgroup controller %q is not available", s.controller))
}

// unsupported returns the error for a value that cannot be honoured.
func unsupported(field, why string) error {
	return fmt.Errorf("linux.resources.%s: %s: %w", field, why, errdefs.ErrNotImplemented)
}

// invalid returns the error for a value that can never be right.
func invalid(field, why string) error {
	return fmt.Errorf("linux.resources.%s: %s: %w", field, why, errdefs.ErrInvalidArgument)
}

// value returns what an optional field holds, or its type's zero.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// settingError says that the kernel refused a limit. Besides the errno it is
// ErrInvalidArgument if the value is to blame, and ErrNotImplemented if the kernel has no
// such file or the device no such policy.
type settingError struct {
	field string // below linux.resources
	value string
	err   error
}

func (e *settingError) Error() string {
	return fmt.Sprintf("set linux.resources.%s to %q: %v", e.field, e.value, e.err)
}

// Unwrap returns the cause and the errdefs sentinel that goes with it.
func (e *settingError) Unwrap() []error {
	switch {
	case errors.Is(e.err, unix.EINVAL), errors.Is(e.err, unix.ERANGE), errors.Is(e.err, unix.ENODEV):
		return []error{e.err, errdefs.ErrInvalidArgument}
	case errors.Is(e.err, unix.ENOENT), errors.Is(e.err, unix.EOPNOTSUPP):
		return []error{e.err, errdefs.ErrNotImplemented}
	}
	return []error{e.err}
}
