// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys/nofile"
)

// rlimitTypes are the limits of setrlimit(2).
var rlimitTypes = map[string]int{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU,
	"RLIMIT_DATA": unix.RLIMIT_DATA, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS,
	"RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK, "RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE,
	"RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS,
	"RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO, "RLIMIT_RTTIME": unix.RLIMIT_RTTIME, "RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING,
	"RLIMIT_STACK": unix.RLIMIT_STACK,
}

// checkRlimits refuses unknown and repeated types and soft limits above the hard
// ones (config.md, "rlimits").
func checkRlimits(field string, limits []specs.POSIXRlimit) error {
	seen := map[string]bool{}
	for i, l := range limits {
		at := fmt.Sprintf("%s.rlimits[%d]", field, i)
		name := strings.ToUpper(l.Type)
		if _, ok := rlimitTypes[name]; !ok {
			return invalid(at+".type", "unknown limit %q", l.Type)
		}
		if seen[name] {
			return invalid(at+".type", "limit %s is there twice", l.Type)
		}
		if l.Soft > l.Hard {
			return invalid(at+".soft", "%d is above the hard limit %d", l.Soft, l.Hard)
		}
		seen[name] = true
	}
	return nil
}

// setRlimits sets the listed limits, and the one on open files back to what the
// shim was started with if it is not listed (the Go runtime has raised it).
// Before the change of user: raising a hard limit needs CAP_SYS_RESOURCE. A forerunner
// makes room besides for what its clone takes, which setLateRlimits takes back.
func setRlimits(p *fork.Program, limits []specs.POSIXRlimit, forerun bool) {
	listed := false
	for _, l := range limits {
		kind := rlimitTypes[strings.ToUpper(l.Type)]
		listed = listed || kind == unix.RLIMIT_NOFILE
		done := ""
		if forerun {
			done = makeRoom(p, l)
		}
		setRlimit(p, strings.ToUpper(l.Type), kind, unix.Rlimit{Cur: l.Soft, Max: l.Hard})
		if done != "" {
			p.Mark(done)
		}
	}
	if !listed && nofile.Limit.Max > 0 {
		setRlimit(p, "RLIMIT_NOFILE", unix.RLIMIT_NOFILE, unix.Rlimit(nofile.Limit))
	}
}

// cloneRoom is what a forerunner needs of limits that are in the way of its clone: its
// user may have one process more, and it a descriptor for the pidfd.
func cloneRoom(l specs.POSIXRlimit) (unix.Rlimit, bool) {
	room := l.Soft
	switch rlimitTypes[strings.ToUpper(l.Type)] {
	case unix.RLIMIT_NPROC:
		room = max(l.Soft, l.Soft+1) // which may be no limit at all
	case unix.RLIMIT_NOFILE:
		room = max(l.Soft, 16)
	}
	return unix.Rlimit{Cur: room, Max: max(room, l.Hard)}, room != l.Soft
}

// makeRoom sets a limit with that room, and goes on at the label then. It is no error
// where the hard limit cannot be raised, in a user namespace: the clone may be one.
func makeRoom(p *fork.Program, l specs.POSIXRlimit) (done string) {
	room, needed := cloneRoom(l)
	if !needed {
		return ""
	}
	name := strings.ToUpper(l.Type)
	done, exact := "room in "+name, "no room in "+name
	p.Add(fork.Step{For: "make room in " + name, NR: unix.SYS_PRLIMIT64, OK: done, Fail: exact, Args: []fork.Arg{
		fork.Int(0), fork.Int(rlimitTypes[name]), fork.Mem(fork.New(p, room), "{"+rlimitText(room)+"}"),
	}})
	p.Mark(exact)
	return done
}

// setLateRlimits sets those limits for which a forerunner has made room.
func setLateRlimits(p *fork.Program, limits []specs.POSIXRlimit) {
	for _, l := range limits {
		if _, late := cloneRoom(l); late {
			name := strings.ToUpper(l.Type)
			setRlimit(p, name, rlimitTypes[name], unix.Rlimit{Cur: l.Soft, Max: l.Hard})
		}
	}
}

func setRlimit(p *fork.Program, name string, kind int, l unix.Rlimit) {
	p.Call("set "+name+" to "+rlimitText(l), unix.SYS_PRLIMIT64, fork.Int(0), fork.Int(kind), fork.Mem(fork.New(p, l), "{"+rlimitText(l)+"}"))
}

func rlimitText(l unix.Rlimit) string {
	return strconv.FormatUint(l.Cur, 10) + ":" + strconv.FormatUint(l.Max, 10)
}
