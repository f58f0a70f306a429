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
// Before the change of user: raising a hard limit needs CAP_SYS_RESOURCE.
func setRlimits(p *fork.Program, limits []specs.POSIXRlimit) {
	listed := false
	for _, l := range limits {
		kind := rlimitTypes[strings.ToUpper(l.Type)]
		listed = listed || kind == unix.RLIMIT_NOFILE
		setRlimit(p, strings.ToUpper(l.Type), kind, unix.Rlimit{Cur: l.Soft, Max: l.Hard})
	}
	if !listed && nofile.Limit.Max > 0 {
		setRlimit(p, "RLIMIT_NOFILE", unix.RLIMIT_NOFILE, unix.Rlimit(nofile.Limit))
	}
}

func setRlimit(p *fork.Program, name string, kind int, l unix.Rlimit) {
	p.Call("set "+name+" to "+rlimitText(l), unix.SYS_PRLIMIT64, fork.Int(0), fork.Int(kind), fork.Mem(fork.New(p, l), "{"+rlimitText(l)+"}"))
}

func rlimitText(l unix.Rlimit) string {
	return strconv.FormatUint(l.Cur, 10) + ":" + strconv.FormatUint(l.Max, 10)
}
