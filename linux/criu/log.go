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
	lines := bufio.NewReaderSize(log, 4<<10)
	for len(found) < reasons {
		line, err := beginning(lines)
		if err != nil {
			break
		}
		_, text, ok := strings.Cut(line, "Error (")
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

// beginning reads a line, and returns as much of it as the reader's buffer holds.
func beginning(r *bufio.Reader) (string, error) {
	line, more, err := r.ReadLine()
	text := string(line)
	for more && err == nil {
		_, more, err = r.ReadLine()
	}
	return text, err
}
