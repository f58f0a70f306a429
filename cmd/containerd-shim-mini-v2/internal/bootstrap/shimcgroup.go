// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"fmt"
	"os"
	"strings"
)

// ShimCgroup returns the cgroup the shim is to run in, which is the only
// runtime option of interest before a container is created; "" for none. It is
// shim_cgroup of containerd.runc.v1.Options, or ShimCgroup in the TOML that
// runtimeoptions.v1.Options carry or name.
func (p *Params) ShimCgroup() (string, error) {
	for i := range p.Extensions {
		a := &p.Extensions[i]
		var path string
		var err error
		switch a.Name() {
		case "containerd.runc.v1.Options":
			path, err = stringField(a.Value, 3)
		case "runtimeoptions.v1.Options", "cri.runtimeoptions.v1.Options":
			path, err = tomlShimCgroup(a.Value)
		}
		if err != nil {
			return "", fmt.Errorf("read options %s: %w", a.TypeURL, err)
		}
		if path != "" {
			return path, nil
		}
	}
	return "", nil
}

// stringField returns the string or bytes field num of a message, "" without
// one.
func stringField(b []byte, num uint64) (string, error) {
	value := ""
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return "", err
		}
		b = rest
		if f.num == num && f.typ == wireBytes {
			value = string(f.bytes)
		}
	}
	return value, nil
}

func tomlShimCgroup(options []byte) (string, error) {
	body, err := stringField(options, 3)
	if err != nil {
		return "", err
	}
	if body == "" {
		file, err := stringField(options, 2)
		if err != nil || file == "" {
			return "", err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		body = string(data)
	}
	return tomlString(body, "ShimCgroup")
}

// tomlString finds the one-line string of a key before the first table of a
// TOML document, which is where containerd's CRI writes a runtime's options.
// The document as a whole is checked when the container is created.
func tomlString(doc, key string) (string, error) {
	for line := range strings.Lines(doc) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			break
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.Trim(strings.TrimSpace(name), `"'`) != key {
			continue
		}
		return unquoteTOML(strings.TrimSpace(value))
	}
	return "", nil
}

// unquoteTOML reads a basic ("...") or a literal ('...') string and allows
// a comment after it. The escapes of a path are \" and \\; others are refused
// rather than misread.
func unquoteTOML(s string) (string, error) {
	bad := fmt.Errorf("ShimCgroup = %s: not a plain TOML string", s)
	if len(s) < 2 || s[0] != '"' && s[0] != '\'' {
		return "", bad
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			if rest := strings.TrimSpace(s[i+1:]); rest != "" && rest[0] != '#' {
				return "", bad
			}
			return b.String(), nil
		case s[0] == '"' && s[i] == '\\':
			i++
			if i >= len(s) || s[i] != '"' && s[i] != '\\' {
				return "", bad
			}
		}
		b.WriteByte(s[i])
	}
	return "", bad
}
