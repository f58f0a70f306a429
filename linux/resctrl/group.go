// SPDX-License-Identifier: Apache-2.0

package resctrl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Check refuses what linux.intelRdt cannot say.
func Check(s *specs.LinuxIntelRdt) error {
	if s == nil {
		return nil
	}
	if id := s.ClosID; id == "." || id == ".." || id != "/" && strings.Contains(id, "/") {
		return fmt.Errorf("closID: %q is no name of a class", id)
	}
	if s.MemBwSchema != "" && !strings.HasPrefix(s.MemBwSchema, "MB:") {
		return fmt.Errorf("memBwSchema: %q lacks the prefix \"MB:\"", s.MemBwSchema)
	}
	for _, line := range lines(s) {
		if strings.ContainsAny(line, "\n\x00") {
			return fmt.Errorf("schemata: %q is more than one line", line)
		}
	}
	return nil
}

// lines are the schemata in the order in which they are to be written.
func lines(s *specs.LinuxIntelRdt) []string {
	return slices.DeleteFunc(append([]string{s.L3CacheSchema, s.MemBwSchema}, s.Schemata...), func(l string) bool { return l == "" })
}

// Group is where a container's processes are. The zero Group is nowhere.
type Group struct {
	// Made are the directories to remove with the container, the innermost first.
	Made  []string `json:"made,omitempty"`
	tasks []string // files
}

// Make makes or finds the container's group below root. On an error
// nothing is left but a class with a name of its own, which others may use by now.
func Make(root, id string, s *specs.LinuxIntelRdt) (_ *Group, err error) {
	g := &Group{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("make resctrl group: %w%s", err, lastStatus(root)), g.Remove())
		}
	}()
	name := s.ClosID
	if name == "" {
		name = id
	}
	dir := filepath.Join(root, name)
	existed, err := g.class(dir, s)
	if err != nil {
		return nil, err
	}
	if err := writeSchemata(dir, s, existed); err != nil {
		return nil, err
	}
	g.tasks = []string{filepath.Join(dir, "tasks")}
	if !s.EnableMonitoring {
		return g, nil
	}
	mon := filepath.Join(dir, "mon_groups", id)
	if err := os.Mkdir(mon, 0o755); err != nil {
		return nil, err
	}
	g.Made = append([]string{mon}, g.Made...)
	g.tasks = append(g.tasks, filepath.Join(mon, "tasks"))
	return g, nil
}

// class makes the directory of the class, unless it is there: one without schemata
// has to be.
func (g *Group) class(dir string, s *specs.LinuxIntelRdt) (existed bool, err error) {
	if s.ClosID != "" && len(lines(s)) == 0 {
		_, err := os.Stat(dir)
		return true, err
	}
	err = os.Mkdir(dir, 0o755)
	if errors.Is(err, os.ErrExist) {
		return true, nil
	}
	if err == nil && s.ClosID == "" {
		g.Made = []string{dir} // a class with a name of its own stays
	}
	return false, err
}

// writeSchemata writes what the spec asks for. Of a class that was there the first
// two have to be as asked; Schemata is written in any case.
func writeSchemata(dir string, s *specs.LinuxIntelRdt, existed bool) error {
	file := filepath.Join(dir, "schemata")
	write := lines(s)
	if existed && s.ClosID != "" && s.L3CacheSchema+s.MemBwSchema != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if diff := parseSchemata(string(text)).lacks(parseSchemata(s.L3CacheSchema + "\n" + s.MemBwSchema)); diff != "" {
			return fmt.Errorf("class %s exists, and its %s: %w", s.ClosID, diff, errdefs.ErrInvalidArgument)
		}
		write = s.Schemata
	}
	if len(write) == 0 {
		return nil
	}
	return os.WriteFile(file, []byte(strings.Join(write, "\n")+"\n"), 0o600)
}

// lastStatus is why the kernel refused a command, which errno alone does not tell.
func lastStatus(root string) string {
	text, err := os.ReadFile(filepath.Join(root, "info", "last_cmd_status"))
	if status := strings.TrimSpace(string(text)); err == nil && status != "" && status != "ok" {
		return " (" + status + ")"
	}
	return ""
}

// Tasks opens the files by which a process joins: it writes "0" to each, in order.
// The caller closes them.
func (g *Group) Tasks() (files []*os.File, err error) {
	if g == nil {
		return nil, nil
	}
	for _, name := range g.tasks {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600) // it is there already, but in tests
		if err != nil {
			for _, f := range files {
				_ = f.Close()
			}
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// Remove removes what was made. What is gone is no error, so it can be called again.
func (g *Group) Remove() error {
	if g == nil {
		return nil
	}
	var errs []error
	for _, dir := range g.Made {
		// rmdir takes the files along.
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("remove resctrl group %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}
