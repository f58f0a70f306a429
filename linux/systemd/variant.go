// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"
)

// maxVariant bounds a property's text: the parser recurses at each bracket.
const maxVariant = 4096

// variant parses GVariant's text form. The text may come from the owner of a pod. The
// library panics on some texts (`@b []`) and allocates without end on a digit that is not
// ASCII.
func variant(text string) (value dbus.Variant, err error) {
	if len(text) > maxVariant {
		return value, fmt.Errorf("longer than %d bytes", maxVariant)
	}
	if !plainOutsideStrings(text) {
		return value, errors.New("not a value: characters other than ASCII outside of quotes")
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not a value: %v", r)
		}
	}()
	return dbus.ParseVariant(text, dbus.Signature{})
}

// plainOutsideStrings reports whether the text outside of quotes is ASCII. In quotes, a
// backslash escapes the next character, as in the library.
func plainOutsideStrings(text string) bool {
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case quote == 0 && c >= 0x80:
			return false
		}
	}
	return true
}
