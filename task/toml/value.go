// SPDX-License-Identifier: Apache-2.0

package toml

import (
	"fmt"
	"math"
	"strings"
)

// Value is one line of a document.
type Value struct {
	Line  int // counted from 1
	Key   string
	value any // bool, int64 or string
}

// Name is the key in lower case: keys are matched in any case, as by the decoder
// that containerd uses for its own configuration.
func (v Value) Name() string { return strings.ToLower(v.Key) }

// Bool stores a boolean.
func (v Value) Bool(to *bool) error { return assign(v, to, "a boolean") }

// String stores a string.
func (v Value) String(to *string) error { return assign(v, to, "a string") }

// Uint32 stores a user or group id.
func (v Value) Uint32(to *uint32) error {
	var n int64
	if err := assign(v, &n, "an integer"); err != nil {
		return err
	}
	if n < 0 || n > math.MaxUint32 {
		return fmt.Errorf("%d is not an id", n)
	}
	*to = uint32(n)
	return nil
}

func assign[T any](v Value, to *T, kind string) error {
	t, ok := v.value.(T)
	if !ok {
		return fmt.Errorf("%v is not %s", v.value, kind)
	}
	*to = t
	return nil
}
