// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// profile is the content of a section.
type profile struct {
	archs   []arch // native first
	def     uint32 // return value of the default action
	flags   uint
	entries []entry
}

// entry is an element of syscalls.
type entry struct {
	index int
	ret   uint32
	calls []call
	// Each element is a rule for each of the calls: conditions that must all hold.
	// An entry without conditions has one empty element.
	alternatives [][]condition
}

// read reads and checks a section.
func read(s *specs.LinuxSeccomp, f family) (*profile, error) {
	p := &profile{}
	var bad int
	if p.archs, bad = f.selectArchs(s.Architectures); bad >= 0 {
		return nil, invalid(fmt.Sprintf("architectures[%d]", bad), "unknown architecture %q", s.Architectures[bad])
	}
	var err error
	if p.def, err = readAction("defaultAction", "defaultErrnoRet", s.DefaultAction, s.DefaultErrnoRet); err != nil {
		return nil, err
	}
	if p.def == unix.SECCOMP_RET_USER_NOTIF {
		// The child could not tell the shim of the listener: see readEntry.
		return nil, invalid("defaultAction", "%s would stop the runtime's own calls", specs.ActNotify)
	}
	p.entries = make([]entry, 0, len(s.Syscalls))
	notify := false
	for i := range s.Syscalls {
		e, err := readEntry(i, &s.Syscalls[i])
		if err != nil {
			return nil, err
		}
		notify = notify || e.ret == unix.SECCOMP_RET_USER_NOTIF
		p.entries = append(p.entries, e)
	}
	if p.flags, err = readFlags(s.Flags, notify); err != nil {
		return nil, err
	}
	return p, checkListener(s, notify)
}

// checkListener checks the fields that are about the agent.
func checkListener(s *specs.LinuxSeccomp, notify bool) error {
	switch {
	case notify && s.ListenerPath == "":
		return invalid("listenerPath", "missing for %s", specs.ActNotify)
	case s.ListenerMetadata != "" && s.ListenerPath == "":
		return invalid("listenerMetadata", "without listenerPath")
	}
	return nil
}

func readEntry(i int, s *specs.LinuxSyscall) (e entry, err error) {
	field := fmt.Sprintf("syscalls[%d]", i)
	e.index = i
	if e.ret, err = readAction(field+".action", field+".errnoRet", s.Action, s.ErrnoRet); err != nil {
		return e, err
	}
	if len(s.Names) == 0 {
		return e, invalid(field+".names", "missing")
	}
	e.calls = make([]call, 0, len(s.Names))
	for n, name := range s.Names {
		switch {
		case name == "":
			return e, invalid(fmt.Sprintf("%s.names[%d]", field, n), "empty")
		case name == "write" && e.ret == unix.SECCOMP_RET_USER_NOTIF:
			// The child tells the shim of the listener with write(2). That call would
			// wait for the agent, which does not have the listener yet.
			return e, invalid(fmt.Sprintf("%s.names[%d]", field, n), "%s cannot be used for write", specs.ActNotify)
		}
		if c, ok := findCall(name); ok {
			e.calls = append(e.calls, c)
		}
	}
	e.alternatives, err = readConditions(field, s.Args)
	return e, err
}

// readConditions reads the conditions of an entry. If two are about the same argument,
// each condition is an alternative of its own.
func readConditions(field string, args []specs.LinuxSeccompArg) ([][]condition, error) {
	conds := make([]condition, len(args))
	twice := false
	seen := [6]bool{}
	for i, a := range args {
		at := slices.Index(operators[:], a.Op)
		switch {
		case a.Index >= uint(len(seen)):
			return nil, invalid(fmt.Sprintf("%s.args[%d].index", field, i), "%d is not between 0 and 5", a.Index)
		case at < 0:
			return nil, invalid(fmt.Sprintf("%s.args[%d].op", field, i), "unknown operator %q", a.Op)
		}
		twice = twice || seen[a.Index]
		seen[a.Index] = true
		conds[i] = condition{arg: uint8(a.Index), op: operator(at), value: a.Value, mask: ^uint64(0)}
		if conds[i].op == maskedEqual {
			conds[i].mask, conds[i].value = a.Value, a.ValueTwo&a.Value
		}
	}
	if !twice {
		slices.SortFunc(conds, func(a, b condition) int { return int(a.arg) - int(b.arg) })
		return [][]condition{conds}, nil
	}
	alternatives := make([][]condition, len(conds))
	for i := range conds {
		alternatives[i] = conds[i : i+1 : i+1]
	}
	return alternatives, nil
}
