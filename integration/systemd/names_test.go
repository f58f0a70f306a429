// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestNames: names that systemd escapes in its cgroups, some of its releases more of
// them, and such as are at its limits.
func TestNames(t *testing.T) {
	h := newHost(t)
	const slice = "/minitest.slice/minitest-a.slice/"
	long := strings.Repeat("x", 253-len("mini--y.scope"))
	for prefix, name := range map[string]string{"_mini": "name", "io.mini": "name", "mini-" + long: "y"} {
		if prefix != "_mini" && !testenv.Full() {
			continue
		}
		unit := prefix + "-" + name + ".scope"
		c := h.start(container{runtime: mini, path: "minitest-a.slice:" + prefix + ":" + name, args: []string{"sleep", "1000"}, resources: `{"pids":{"limit":9}}`})
		cgroup := h.systemctl("show", "-p", "ControlGroup", "--value", unit)
		if cgroup != slice+unit && cgroup != slice+"_"+unit || prefix == "_mini" && cgroup != slice+"_"+unit {
			t.Errorf("%s is %s", unit, cgroup)
		}
		c.update(`{"pids":{"limit":19}}`)
		c.holds(unit, cgroup, "pids.max 19")
		h.shows(unit, unit, "TasksMax=19")
		c.end()
		h.gone(unit, cgroup)
	}
}

// TestRefusedProperties: what systemd does not take is the client's fault, whatever
// the name of systemd's error.
func TestRefusedProperties(t *testing.T) {
	h := newHost(t)
	for name, value := range map[string]string{
		"NoSuchThing":      "1",
		"MemoryMax":        "'much'",                 // of another type
		"Documentation":    "true",                   // likewise
		"TimeoutStopUSec":  "[(uint64 1, uint64 2)]", // likewise
		"CPUWeight":        "uint64 99999999",        // out of range
		"CollectMode":      "'sometimes'",            // not of the list
		"AllowedCPUs":      "[byte 0x01, 'x']",       // no value at all
		"ActiveState":      "'active'",               // to be read only
		"ExecStart":        "['x']",                  // of another kind of units
		"DelegateSubgroup": "'x'",                    // ours
	} {
		if name != "MemoryMax" && !testenv.Full() {
			continue
		}
		_, err := h.try(container{
			runtime: mini, path: "minitest-a.slice:mini:refused", args: []string{"true"}, annotations: map[string]string{"org.systemd.property." + name: value},
		})
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
	h.gone("mini-refused.scope", fmt.Sprintf(nobody, "refused"))
}

// TestTakenName: a unit of somebody else's has the name.
func TestTakenName(t *testing.T) {
	h := newHost(t)
	other := exec.Command("systemd-run", "--scope", "--quiet", "--slice=minitest-a.slice", "--unit=mini-taken.scope", "sleep", "1000")
	h.must(other.Start())
	ended := make(chan error, 1)
	go func() { ended <- other.Wait() }()
	t.Cleanup(func() { _ = other.Process.Kill(); <-ended })
	h.eventually(func() error {
		if state := h.systemctl("show", "-p", "ActiveState", "mini-taken.scope"); state != "ActiveState=active" {
			return errors.New(state)
		}
		return nil
	})
	_, err := h.try(container{runtime: mini, path: "minitest-a.slice:mini:taken", args: []string{"true"}})
	if !errdefs.IsAlreadyExists(err) || !strings.Contains(err.Error(), "mini-taken.scope") {
		t.Errorf("%v", err)
	}
	select {
	case err := <-ended:
		t.Errorf("the other one ended: %v", err)
		ended <- err
	default:
	}
	h.shows("after the refusal", "mini-taken.scope", "ActiveState=active")
}

// TestNameOfOneThatEnded: its scope has gone with its last process, and a later
// container has the name when it is deleted.
func TestNameOfOneThatEnded(t *testing.T) {
	h := newHost(t)
	const path = "minitest-a.slice:mini:later"
	for _, killed := range []bool{false, true} { // the shim of the first one
		if killed && !testenv.Full() {
			continue
		}
		first := h.start(container{runtime: mini, path: path, args: []string{"sleep", "1000"}})
		shim := first.shim()
		h.must(first.Kill(h.ctx, syscall.SIGKILL))
		<-first.exit
		later := h.start(container{runtime: mini, path: path, args: []string{"sleep", "1000"}})
		ctx, cancel := context.WithTimeout(h.ctx, testenv.Patience(5*time.Second))
		if killed {
			h.must(syscall.Kill(shim, syscall.SIGKILL))
		}
		if _, err := first.Delete(ctx); err != nil && (!killed || !errdefs.IsNotFound(err)) {
			t.Errorf("delete: %v", err)
		}
		cancel()
		h.shows("later", "mini-later.scope", "ActiveState=active")
		if status, err := later.Status(h.ctx); err != nil || status.Status != client.Running {
			t.Errorf("the later one: %v, %v", status.Status, err)
		}
		later.end()
		h.gone("mini-later.scope", fmt.Sprintf(nobody, "later"))
	}
}

// TestMaskedSlice: a slice that systemd refuses to start.
func TestMaskedSlice(t *testing.T) {
	h := newHost(t)
	const slice = "minitest-masked.slice"
	h.systemctl("mask", "--runtime", slice)
	defer h.systemctl("unmask", "--runtime", slice)
	_, err := h.try(container{runtime: mini, path: slice + ":mini:masked", args: []string{"true"}})
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "linux.cgroupsPath") {
		t.Errorf("%v", err)
	}
	h.gone("mini-masked.scope", "/minitest.slice/"+slice+"/mini-masked.scope")
	if _, err := os.Stat("/sys/fs/cgroup/minitest.slice/" + slice); !os.IsNotExist(err) {
		t.Errorf("the slice's cgroup: %v", err)
	}
}
