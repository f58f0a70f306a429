// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"
)

// maxVariant bounds a property's text: its parser goes one call deeper for each
// bracket.
const maxVariant = 4096

// variant reads GVariant's text form. The library panics at some of what is not
// of that form (`@b []`), and takes memory for ever at a digit that is not ASCII's;
// the annotation may be a pod's owner's.
func variant(text string) (value dbus.Variant, err error) {
	if len(text) > maxVariant {
		return value, fmt.Errorf("longer than %d bytes", maxVariant)
	}
	if !plainOutsideStrings(text) {
		return value, errors.New("not a value: what is not ASCII belongs into quotes")
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not a value: %v", r)
		}
	}()
	return dbus.ParseVariant(text, dbus.Signature{})
}

// plainOutsideStrings tells whether all that is not in quotes is ASCII. In quotes a
// backslash takes the next character along, as in the library.
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
