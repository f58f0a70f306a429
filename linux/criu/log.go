// SPDX-License-Identifier: Apache-2.0

package criu

import (
	"bufio"
	"io"
	"strings"
)

// reasons is how many errors of a log are quoted. Later ones follow from the first.
const reasons = 3

// maxReason bounds a quoted line, which may hold content of an image.
const maxReason = 300

// Reason returns the first errors in a log of criu, without their times and places, or ""
// if there are none.
func Reason(log io.Reader) string {
	var found []string
	lines := bufio.NewScanner(log)
	for lines.Scan() && len(found) < reasons {
		_, text, ok := strings.Cut(lines.Text(), "Error (")
		if !ok {
			continue
		}
		if _, what, ok := strings.Cut(text, "): "); ok {
			text = what
		}
		if len(text) > maxReason {
			text = text[:maxReason] + "..."
		}
		found = append(found, strings.ToValidUTF8(strings.TrimSpace(text), "?"))
	}
	return strings.Join(found, "; ")
}
