// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestCheckTracers finds who may trace in a pid namespace: init, or a process that joined it.
func TestCheckTracers(t *testing.T) {
	testenv.Root(t)
	for _, c := range []struct {
		name       string
		init, exec bool // have the capability in their bounding set
	}{{"nobody", false, false}, {"init", true, false}, {"exec", false, true}} {
		t.Run(c.name, func(t *testing.T) {
			spec := newSpec(t, "sh", "-c", "echo ready; sleep 1000; true")
			out := newOutput(t)
			given := func(traces bool) *specs.LinuxCapabilities {
				caps := *spec.Process.Capabilities
				if traces {
					caps.Bounding = append(slices.Clone(caps.Bounding), "CAP_SYS_PTRACE")
				}
				return &caps
			}
			execCaps := given(c.exec)
			spec.Process.Capabilities = given(c.init)
			container := started(t, newBundle(t), spec, out)
			out.until(t, "ready\n")
			proc := &specs.Process{Args: []string{"/bin/sleep", "1000"}, Cwd: "/", Env: []string{"PATH=/bin"}, Capabilities: execCaps}
			p, err := container.Exec(t.Context(), &ExecConfig{ID: "e", Process: proc})
			if err != nil {
				t.Fatal(err)
			}
			ns := &namespaces{join: map[int]*os.File{unix.CLONE_NEWPID: openPIDNS(t, container.Init().Pid())}}
			err = ns.checkTracers()
			if (err != nil) != (c.init || c.exec) || err != nil && !errors.Is(err, errdefs.ErrFailedPrecondition) {
				t.Errorf("got %v", err)
			}
			if err := p.Signal(unix.SIGKILL); err != nil {
				t.Error(err)
			}
			if _, err := p.Wait(); err != nil {
				t.Error(err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	ns := &namespaces{join: map[int]*os.File{unix.CLONE_NEWPID: openPIDNS(t, os.Getpid())}}
	if err := ns.checkTracers(); err != nil {
		t.Errorf("the shim's own: %v", err)
	}
}

func openPIDNS(t *testing.T, pid int) *os.File {
	t.Helper()
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
