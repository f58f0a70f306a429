// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"

	"github.com/containerd/errdefs"
)

// invalid returns an error about a field of the section.
func invalid(field, format string, args ...any) error {
	return fmt.Errorf("linux.seccomp.%s: %s: %w", field, fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
}
