// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// journal has what files held before an update wrote to them, the oldest first,
// so that an update which fails in its midst leaves nothing behind.
type journal []entry

// entry is a value that a file had: of a device alone in those that have a line
// for each.
type entry struct {
	file, key string
	lines     []string // to write, to have it back
	like      string   // what has the same effect where the kernel refuses that; or ""
}

// unset says, of files with a line for each device, what brings back a device
// that had no line.
var unset = map[string]string{
	"io.max":        "rbps=max wbps=max riops=max wiops=max",
	"io.weight":     "default",
	"io.bfq.weight": "default",
	"rdma.max":      "hca_handle=max hca_object=max",
}

// acts tells of files that are written to for something to happen, and do not hold
// what was written.
func acts(file string) bool {
	switch file {
	case "cgroup.subtree_control", "memory.reclaim", "cpu.pressure", "io.pressure", "irq.pressure", "memory.pressure":
		return true
	}
	return false
}

// noter fills a journal.
type noter struct {
	journal
	known map[noteKey]bool
}

type noteKey struct{ file, key string }

// note keeps what a file holds that a value will be written to. False: it cannot
// be read, so it is not there or holds nothing.
func (j *noter) note(dir *os.File, file, value string) bool {
	if acts(file) {
		return true
	}
	data, err := readFile(dir, file)
	if err != nil {
		return false
	}
	text := strings.TrimSpace(string(data))
	if file == "cpuset.cpus.partition" { // behind a state may be why it does not hold
		text, _, _ = strings.Cut(text, " ")
	}
	if file == "cpu.idle" && text == "0" { // an idle group has no weight, and the default one afterwards
		j.note(dir, "cpu.weight", "")
	}
	for line := range strings.Lines(value + "\n") {
		e := entry{file: file}
		reset, single := unset[file]
		if single {
			e.key, e.lines = lineOf(text, line, reset)
		} else if j.known[noteKey{file, ""}] {
			break // it is kept whole
		} else {
			e.lines = strings.Split(text, "\n")
		}
		if text == "" { // most kernels let no cpuset with processes be emptied (cpuset.c, validate_change)
			effective, _ := readFile(dir, file+".effective")
			e.like = strings.TrimSpace(string(effective))
		}
		if at := (noteKey{e.file, e.key}); !j.known[at] {
			j.known[at] = true
			j.journal = append(j.journal, e)
		}
	}
	return true
}

// lineOf is the device that a line is about, and what it has now. A weight
// without a device is the default one.
func lineOf(text, line, reset string) (key string, now []string) {
	key, _, _ = strings.Cut(strings.TrimSpace(line), " ")
	if reset == "default" && !strings.Contains(key, ":") {
		key = "default"
	}
	for had := range strings.SplitSeq(text, "\n") {
		if k, rest, _ := strings.Cut(had, " "); k == key {
			return key, []string{key + " " + rest}
		}
	}
	return key, []string{key + " " + reset}
}

// back writes everything back, the newest first. What is refused is tried once
// more: a burst may be greater than the quota as long as that is the new one.
func (j journal) back(dir *os.File) error {
	var again journal
	for _, e := range slices.Backward(j) {
		if e.write(dir) != nil {
			again = append(again, e)
		}
	}
	var errs []error
	for _, e := range again {
		errs = append(errs, e.write(dir))
	}
	return errors.Join(errs...)
}

func (e *entry) write(dir *os.File) error {
	for _, line := range e.lines {
		err := writeFile(dir, e.file, line+"\n") // a newline alone empties a list
		if errors.Is(err, unix.ENOSPC) && e.like != "" {
			err = writeFile(dir, e.file, e.like)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
