// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Dump returns the program as text, one step a line: the order in which a container is
// made.
//
// Exported for tests: the golden files of package linux hold it.
func (p *Program) Dump() string {
	var b strings.Builder
	last := ""
	for i := range p.steps {
		// How many ranges are closed differs from run to run; they look the same.
		if line := p.steps[i].line(); line != last {
			b.WriteString(line)
			last = line
		}
	}
	return b.String()
}

// line is a step as text.
func (s *Step) line() string {
	if s.NR == opNop && s.OK == "" {
		return s.For + "\n"
	}
	var b strings.Builder
	args := make([]string, len(s.Args))
	for i := range s.Args {
		args[i] = s.Args[i].show()
	}
	b.WriteString("\t")
	if s.Out != nil {
		fmt.Fprintf(&b, "r%d = ", s.Out.n)
	}
	fmt.Fprintf(&b, "%s(%s)", name(s.NR), strings.Join(args, ", "))
	for _, j := range []struct{ when, to string }{{"ok", s.OK}, {">0", s.Positive}, {"error", s.Fail}} {
		if j.to != "" {
			fmt.Fprintf(&b, " %s->%s", j.when, j.to)
		}
	}
	fmt.Fprintf(&b, "\t# %s\n", s.For)
	return b.String()
}

func (a *Arg) show() string {
	switch {
	case a.reg != nil:
		return fmt.Sprintf("r%d", a.reg.n)
	case a.kind == hex:
		return fmt.Sprintf("%#x", uint64(a.value))
	case a.kind == oflags:
		return openFlags(a.value)
	case a.kind == char:
		return fmt.Sprintf("%q", byte(a.value))
	case a.kind == errnum:
		return unix.ErrnoName(syscall.Errno(a.value))
	case a.kind == named:
		return a.name
	case a.kind == str:
		return fmt.Sprintf("%q", a.name)
	case a.kind == strs:
		return fmt.Sprintf("%q", a.vec.strs)
	}
	return fmt.Sprint(int64(a.value))
}

// openFlags are flags of open(2) as text.
func openFlags(v uintptr) string {
	text := []string{"O_RDONLY", "O_WRONLY", "O_RDWR"}[v&unix.O_ACCMODE]
	v &^= unix.O_ACCMODE
	for _, f := range []struct {
		flag uintptr
		name string
	}{
		{unix.O_PATH, "O_PATH"},
		{unix.O_DIRECTORY, "O_DIRECTORY"},
		{unix.O_NOFOLLOW, "O_NOFOLLOW"},
		{unix.O_NONBLOCK, "O_NONBLOCK"},
		{unix.O_NOCTTY, "O_NOCTTY"},
		{unix.O_CLOEXEC, "O_CLOEXEC"},
	} {
		if v&f.flag != 0 {
			text += "|" + f.name
			v &^= f.flag
		}
	}
	if v != 0 {
		text += fmt.Sprintf("|%#x", v)
	}
	return text
}
