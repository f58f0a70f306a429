// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// core stands for files that every cgroup has, whatever its controllers.
const core = "cgroup"

// set writes one setting.
func (g *Group) set(s *setting) error {
	file, value := s.file, s.value
	if s.keepFirst {
		now, err := readFile(g.dir, file)
		if err != nil {
			return &SettingError{Field: s.field, Value: value, Err: err}
		}
		first, _, _ := strings.Cut(strings.TrimSpace(string(now)), " ")
		value = first + " " + value
	}
	err := g.writeSetting(file, value, s.lines)
	if errors.Is(err, unix.ENOENT) && s.orFile != "" {
		value = s.orValue
		err = g.writeSetting(s.orFile, value, s.lines)
	}
	switch {
	case err == nil,
		s.absentOK && errors.Is(err, unix.ENOENT),
		s.soft && errors.Is(err, unix.EINVAL):
		return nil
	}
	return &SettingError{Field: s.field, Value: value, Err: err}
}

func (g *Group) writeSetting(file, value string, lines bool) error {
	if !lines || value == "" {
		return writeFile(g.dir, file, value)
	}
	for line := range strings.Lines(value) {
		if err := writeFile(g.dir, file, strings.TrimSuffix(line, "\n")); err != nil {
			return err
		}
	}
	return nil
}
