// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"golang.org/x/sys/unix"
)

// Retry calls f until it returns something else than EINTR.
func Retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR { //nolint:errorlint // a raw errno straight from the call
			return err
		}
	}
}
