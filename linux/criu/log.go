// SPDX-License-Identifier: Apache-2.0

package criu

import (
	"bufio"
	"io"
	"strings"
)

// reasons is how many errors of a log are quoted: the last ones say what failed
// because of the first.
const reasons = 3

// maxReason bounds a quoted line, which may hold what an image says.
const maxReason = 300

// Reason is what a log of criu has about its failure: the first errors in it,
// without their times and places. "" if there are none.
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
