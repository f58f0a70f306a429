// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// checkTracers refuses a joined pid namespace in which a process may have CAP_SYS_PTRACE.
// What criu restores is visible there while it still has the host's mounts and criu's
// descriptors, and there is no other way to restore it. The bounding set counts: a process
// that has the capability in it may gain it. ErrFailedPrecondition.
//
// Who comes into the namespace later comes by an exec or a container that somebody asks for.
func (ns *namespaces) checkTracers() error {
	pidns := ns.join[unix.CLONE_NEWPID]
	if pidns == nil {
		return nil
	}
	if own, err := isOwn(pidns, specs.PIDNamespace); own || err != nil {
		return err // there the capability is the host's
	}
	pid, err := findTracer(pidns)
	if err != nil || pid == 0 {
		return err
	}
	return fmt.Errorf("restore into pid namespace %s: process %d there may gain CAP_SYS_PTRACE, "+
		"with which it could reach the host through what is being restored: %w", pidns.Name(), pid, errdefs.ErrFailedPrecondition)
}

// findTracer returns a process that may have CAP_SYS_PTRACE in a pid namespace or one
// below it, or 0. The shim sees all of them, as it can join namespaces below its own only.
func findTracer(pidns *os.File) (int, error) {
	proc, err := sys.OpenProc(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return 0, err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue // no process
		}
		traces, err := mayTrace(name, pidns)
		switch {
		case ended(err):
		case err != nil:
			return 0, err
		case traces:
			return pid, nil
		}
	}
	return 0, nil
}

// ended reports whether an error of a look into procfs says that the process has ended.
func ended(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) }

// mayTrace reports whether a thread of a process has or may gain CAP_SYS_PTRACE, and the
// process is in the pid namespace or below it.
func mayTrace(process string, pidns *os.File) (bool, error) {
	status, err := sys.ReadProc(process + "/status")
	if err != nil || !inInnerPIDNS(status) {
		return false, err
	}
	f, err := sys.OpenProcLink(process+"/ns", "pid", os.O_RDONLY)
	if err != nil {
		return false, err
	}
	in, err := sys.NamespaceBelow(f, pidns)
	if err != nil || !in {
		return false, err
	}
	threads, err := sys.ThreadsOf(process)
	if err != nil {
		return false, err
	}
	for _, tid := range threads {
		status, err := sys.ReadProc(process + "/task/" + tid + "/status")
		if ended(err) {
			continue
		}
		if err != nil {
			return false, err
		}
		held, _, err := rights(status)
		if err != nil || held&(1<<unix.CAP_SYS_PTRACE) != 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// inInnerPIDNS reports whether a status is of a process in a pid namespace below procfs's own:
// then it has more than one pid (proc_pid_status(5), NSpid).
func inInnerPIDNS(status []byte) bool {
	_, rest, _ := bytes.Cut(status, []byte("\nNSpid:"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return len(bytes.Fields(line)) != 1
}
