// SPDX-License-Identifier: Apache-2.0

package toml

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parse reads the part of TOML 1.0 that options are written in: comments and
// lines of a bare or quoted key, "=", and a boolean, an integer or a one-line
// string. Tables, arrays, dotted keys, dates, floats and multi-line strings are
// refused, as is a key that comes twice.
func parse(text string) (values []Value, err error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("not UTF-8")
	}
	seen := map[string]bool{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		v, err := parseLine(strings.TrimRight(line, "\r\n"))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if v == nil {
			continue
		}
		if seen[v.Name()] {
			return nil, fmt.Errorf("line %d: %s: given twice", n, v.Key)
		}
		seen[v.Name()] = true
		v.Line = n
		values = append(values, *v)
	}
	return values, nil
}

// parseLine is nil for a line without a value.
func parseLine(line string) (*Value, error) {
	line = strings.TrimLeft(line, " \t")
	if line == "" || line[0] == '#' {
		return nil, nil
	}
	if line[0] == '[' {
		return nil, errors.New("tables are not supported")
	}
	key, rest, err := parseKey(line)
	if err != nil {
		return nil, err
	}
	rest, ok := strings.CutPrefix(strings.TrimLeft(rest, " \t"), "=")
	if !ok {
		return nil, fmt.Errorf("%s: no = after the key", key)
	}
	value, rest, err := parseValue(strings.TrimLeft(rest, " \t"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if rest = strings.TrimLeft(rest, " \t"); rest != "" && rest[0] != '#' {
		return nil, fmt.Errorf("%s: %q after the value", key, rest)
	}
	return &Value{Key: key, value: value}, nil
}

func parseKey(s string) (key, rest string, err error) {
	if s[0] == '"' || s[0] == '\'' {
		return parseString(s)
	}
	end := strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	})
	switch {
	case end < 0:
		return "", "", fmt.Errorf("%s: no = after the key", s)
	case end == 0:
		return "", "", fmt.Errorf("%q is not a key", s)
	}
	return s[:end], s[end:], nil
}

func parseValue(s string) (value any, rest string, err error) {
	if s != "" && (s[0] == '"' || s[0] == '\'') {
		return parseString(s)
	}
	end := strings.IndexAny(s, " \t#")
	if end < 0 {
		end = len(s)
	}
	word, rest := s[:end], s[end:]
	switch word {
	case "":
		return nil, "", errors.New("no value")
	case "true", "false":
		return word == "true", rest, nil
	}
	n, err := parseInteger(word)
	if err != nil {
		return nil, "", fmt.Errorf("%q is not a boolean, an integer or a string", word)
	}
	return n, rest, nil
}

// parseInteger differs from Go's in that a sign takes no prefix and a leading
// zero means nothing.
func parseInteger(s string) (int64, error) {
	digits := strings.TrimLeft(s, "+-")
	if len(digits) > 1 && digits[0] == '0' {
		if digits != s || !strings.ContainsRune("xob", rune(digits[1])) {
			return 0, strconv.ErrSyntax
		}
	}
	if len(s)-len(digits) > 1 || strings.Contains(s, "0x_") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseInt(s, 0, 64)
}

// parseString reads a 'literal' or a "basic" string.
func parseString(s string) (value, rest string, err error) {
	quote := s[0]
	if strings.HasPrefix(s, strings.Repeat(string(quote), 3)) {
		return "", "", errors.New("multi-line strings are not supported")
	}
	var b strings.Builder
	for i := 1; i < len(s); {
		switch c := s[i]; {
		case c == quote:
			return b.String(), s[i+1:], nil
		case c < ' ' && c != '\t' || c == 0x7f:
			return "", "", fmt.Errorf("control character %#x in a string", c)
		case c == '\\' && quote == '"':
			r, n, err := parseEscape(s[i:])
			if err != nil {
				return "", "", err
			}
			b.WriteRune(r)
			i += n
		default:
			b.WriteByte(c)
			i++
		}
	}
	return "", "", errors.New("string does not end")
}

// escapes are TOML's of one character.
const escapes = `b"\tnfr`

// parseEscape reads the escape that s begins with; n is its length.
func parseEscape(s string) (r rune, n int, err error) {
	if len(s) < 2 {
		return 0, 0, errors.New("string does not end")
	}
	digits := map[byte]int{'u': 4, 'U': 8}[s[1]]
	switch {
	case digits == 0 && strings.IndexByte(escapes, s[1]) >= 0:
		return map[byte]rune{'b': '\b', '"': '"', '\\': '\\', 't': '\t', 'n': '\n', 'f': '\f', 'r': '\r'}[s[1]], 2, nil
	case digits == 0 || len(s) < 2+digits:
		return 0, 0, fmt.Errorf("%q is not an escape", s[:2])
	}
	code, err := strconv.ParseUint(s[2:2+digits], 16, 32)
	if err != nil || !utf8.ValidRune(rune(code)) {
		return 0, 0, fmt.Errorf("%q is not a character", s[:2+digits])
	}
	return rune(code), 2 + digits, nil
}
