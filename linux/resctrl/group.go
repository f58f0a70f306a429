// SPDX-License-Identifier: Apache-2.0

package resctrl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Check refuses values that linux.intelRdt cannot have.
func Check(s *specs.LinuxIntelRdt) error {
	if s == nil {
		return nil
	}
	if id := s.ClosID; id == "." || id == ".." || id != "/" && strings.Contains(id, "/") {
		return fmt.Errorf("closID: %q is no name of a class", id)
	}
	if s.MemBwSchema != "" && !strings.HasPrefix(s.MemBwSchema, "MB:") {
		return fmt.Errorf("memBwSchema: %q has no prefix \"MB:\"", s.MemBwSchema)
	}
	for _, line := range lines(s) {
		if strings.ContainsAny(line, "\n\x00") {
			return fmt.Errorf("schemata: %q is more than one line", line)
		}
	}
	return nil
}

// lines returns the schemata in the order in which they are written.
func lines(s *specs.LinuxIntelRdt) []string {
	all := append([]string{s.L3CacheSchema, s.MemBwSchema}, s.Schemata...)
	return slices.DeleteFunc(all, func(line string) bool { return line == "" })
}

// Group is the resctrl group of a container. The zero Group is none.
type Group struct {
	// Made lists the directories to remove with the container, the innermost first.
	Made  []string `json:"made,omitempty"`
	tasks []string // paths

	fresh string   // the directory of a class that has a name of its own and that Make made
	claim *os.File // the locked directory of a class with a name of its own, until Joined
}

// Intend returns what Make will make, for a record that is written before: those of its
// directories that do not exist. It makes nothing.
func Intend(root, id string, s *specs.LinuxIntelRdt) (*Group, error) {
	g := &Group{}
	dirs := []string{}
	if s.EnableMonitoring {
		dirs = append(dirs, filepath.Join(classDir(root, id, s), "mon_groups", id))
	}
	if s.ClosID == "" {
		dirs = append(dirs, classDir(root, id, s))
	}
	for _, dir := range dirs {
		switch _, err := os.Lstat(dir); {
		case errors.Is(err, os.ErrNotExist):
			g.Made = append(g.Made, dir)
		case err != nil:
			return nil, err
		}
	}
	return g, nil
}

// classDir is where a container's class is: of the name that the spec gives it, or of
// the container's.
func classDir(root, id string, s *specs.LinuxIntelRdt) string {
	if s.ClosID == "" {
		return filepath.Join(root, id)
	}
	return filepath.Join(root, s.ClosID)
}

// Make makes or finds the container's group below root. On an error nothing is left. The
// caller calls Joined or Undo.
func Make(root, id string, s *specs.LinuxIntelRdt) (_ *Group, err error) {
	g := &Group{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("make resctrl group: %w%s", err, lastStatus(root)), g.Undo())
		}
	}()
	dir := classDir(root, id, s)
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

// writeSchemata writes the schemata. An existing class must have the values of
// L3CacheSchema and MemBwSchema; Schemata is always written.
func writeSchemata(dir string, s *specs.LinuxIntelRdt, existed bool) error {
	file := filepath.Join(dir, "schemata")
	write := lines(s)
	if existed && s.ClosID != "" && s.L3CacheSchema+s.MemBwSchema != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		want := parseSchemata(s.L3CacheSchema + "\n" + s.MemBwSchema)
		if diff := parseSchemata(string(text)).differs(want); diff != "" {
			return fmt.Errorf("class %s exists, and its %s: %w", s.ClosID, diff, errdefs.ErrInvalidArgument)
		}
		write = s.Schemata
	}
	if len(write) == 0 {
		return nil
	}
	return os.WriteFile(file, []byte(strings.Join(write, "\n")+"\n"), 0o600)
}

// lastStatus returns the kernel's reason for the last refusal, which errno does not have.
func lastStatus(root string) string {
	text, err := os.ReadFile(filepath.Join(root, "info", "last_cmd_status"))
	if status := strings.TrimSpace(string(text)); err == nil && status != "" && status != "ok" {
		return " (" + status + ")"
	}
	return ""
}

// Tasks opens the files through which a process joins: it writes "0" to each, in order. The
// caller closes them.
func (g *Group) Tasks() (files []*os.File, err error) {
	if g == nil {
		return nil, nil
	}
	for _, name := range g.tasks {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600) // only tests need O_CREATE
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

// Join puts a waiting process into the group, with all processes that it starts later.
func (g *Group) Join(pid int) error {
	files, err := g.Tasks()
	for _, f := range files {
		_, werr := f.WriteString(strconv.Itoa(pid))
		err = errors.Join(err, werr, f.Close())
	}
	return err
}

// Remove removes what Make made. A missing directory is no error, so it can be called
// again.
func (g *Group) Remove() error {
	if g == nil {
		return nil
	}
	defer g.Joined() // releases the claim
	return g.removeMade()
}

func (g *Group) removeMade() error {
	var errs []error
	for _, dir := range g.Made {
		// rmdir(2) removes the files too.
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("remove resctrl group %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}
