// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
)

// defaultPath is searched where the environment has no PATH, as execvp(3) and
// crun do.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// candidates are the files that argv[0] may mean: itself when it has a slash,
// else one for each directory of PATH. Those that the kernel would not look up,
// for their length, and those that are there already are left out.
func candidates(arg0 string, env []string) []string {
	if strings.Contains(arg0, "/") {
		return []string{arg0}
	}
	path, ok := getenv(env, "PATH")
	if !ok {
		path = defaultPath
	}
	var files []string
	seen := map[string]bool{}
	for dir := range strings.SplitSeq(path, ":") {
		if dir == "" {
			dir = "."
		}
		dir = strings.TrimRight(dir, "/")
		if seen[dir] || len(dir)+1+len(arg0) >= unix.PathMax {
			continue
		}
		seen[dir] = true
		files = append(files, dir+"/"+arg0)
	}
	return files
}

// command is the look-up of argv[0] and the execve. The look-up is made by the
// child with the container user's identity and in its working directory; it
// comes before the gate, so that a missing command fails Create. exec is the
// execve's step, which the look-up gives its file.
type command struct {
	file  string // what is looked up
	files []string
	exec  fork.Step
}

func newCommand(file string, args, env []string, home int, homeText *byte) *command {
	c := &command{file: file, files: candidates(file, env)}
	c.exec = fork.Step{
		Name: "exec", For: whatExec, NR: unix.SYS_EXECVE,
		Args: []fork.Arg{fork.Str(c.files[0]), fork.Strs(args, -1, nil), fork.Strs(env, home, homeText)},
	}
	return c
}

// lookUp finds the first candidate that is a file and executable for the
// container's user, and patches it into the execve.
func (c *command) lookUp(p *fork.Program) {
	stat := fork.Mem(fork.New(p, unix.Stat_t{}), "stat")
	if strings.Contains(c.file, "/") {
		// The errno says why; of a directory that is EISDIR.
		p.Add(isDirectory(c.file, stat, "", "a file"))
		p.Fail(whatFind, unix.EISDIR)
		p.Mark("a file")
		p.Add(isExecutable(c.file, ""))
		return
	}
	// Most directories have no such file, so that stands first: one call for each.
	for i, file := range c.files {
		next, found := "candidate "+strconv.Itoa(i+1), "found "+strconv.Itoa(i)
		p.Add(isExecutable(file, next))
		p.Add(isDirectory(file, stat, next, found))
		p.Mark(found)
		if i > 0 {
			p.Patch("exec", 0, fork.Str(file))
		}
		p.Add(fork.Step{For: "go on", NR: fork.OpNop, OK: "found"})
		p.Mark(next)
	}
	p.Fail(whatFind, errnoNotInPath)
	p.Mark("found")
}

// isExecutable goes on at no when the file is not executable or not there.
func isExecutable(file, no string) fork.Step {
	return fork.Step{
		For: whatFind, NR: unix.SYS_FACCESSAT2, Fail: no,
		Args: []fork.Arg{fork.Int(unix.AT_FDCWD), fork.Str(file), fork.Int(unix.X_OK), fork.Hex(unix.AT_EACCESS)},
	}
}

// isDirectory goes on at yes or at no.
func isDirectory(file string, stat fork.Arg, yes, no string) fork.Step {
	return fork.Step{
		For: "is " + file + " a directory", NR: unix.SYS_NEWFSTATAT, OK: yes, Fail: no,
		Args: []fork.Arg{fork.Int(unix.AT_FDCWD), fork.Str(file + "/."), stat, fork.Int(0)},
	}
}

// whatFind and whatExec mark the steps whose errors commandError words: the look-up,
// the execve, and the clone by a forerunner, which a limit on processes stops as it
// would stop the execve.
const (
	whatFind = "find command"
	whatExec = "exec"
)

// errnoNotInPath stands for "no candidate" in the child's report.
const errnoNotInPath = unix.ENOMEDIUM

// commandError words a failure of the look-up or of execve as os/exec and runc
// do, which clients match on, and gives it its errdefs class.
func commandError(arg0 string, err error) error {
	var step *fork.StepError
	if !errors.As(err, &step) || step.What != whatFind && step.What != whatExec {
		return err
	}
	var class error = errdefs.ErrInvalidArgument
	cause := step.Errno.Error()
	switch step.Errno {
	case errnoNotInPath:
		class, cause = errdefs.ErrNotFound, "executable file not found in $PATH"
	case syscall.ENOENT, syscall.ENOTDIR:
		class = errdefs.ErrNotFound
	case syscall.EACCES, syscall.EPERM:
		class = errdefs.ErrPermissionDenied
	}
	return fmt.Errorf("exec: %q: %s: %w", arg0, cause, class)
}
