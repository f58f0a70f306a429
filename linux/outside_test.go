// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestInKilledCgroup makes containers of all kinds from a cgroup on which
// cgroup.kill was used, where the kernel kills at their birth what is cloned into
// another one.
func TestInKilledCgroup(t *testing.T) {
	testenv.Root(t)
	testenv.Subprocess(t, 0, func(t *testing.T) {
		testenv.InKilledCgroup(t)
		t.Run("exec", TestExec)
		t.Run("exec errors", TestExecErrors)
		t.Run("terminal", TestTerminal)
		t.Run("user namespace", TestUserNamespace)
		t.Run("pod", TestPod) // with a forerunner
		t.Run("host and time namespaces", TestHostNamespaces)
		t.Run("missing command", TestMissingCommandFailsCreate)
		t.Run("helper", TestStartIn) // as criu
		t.Run("copier", TestCopyUp)
		t.Run("hooks", testHooksAreMembers)
	})
}

// testHooksAreMembers: all that is the container's is in its cgroup.
func testHooksAreMembers(t *testing.T) {
	bundle := newBundle(t)
	spec := newSpec(t, "sh", "-c", "grep ^0: /proc/self/cgroup; sleep 1000")
	hook := func(path string) []specs.Hook {
		return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "grep ^0: /proc/self/cgroup > " + path}}}
	}
	spec.Hooks = &specs.Hooks{
		CreateContainer: hook(filepath.Join(bundle, "rootfs/tmp/create")),
		StartContainer:  hook("/tmp/start"),
	}
	out := newOutput(t)
	c := started(t, bundle, spec, out)
	exec, code := execIn(t, c, &specs.Process{Args: []string{"grep", "^0:", "/proc/self/cgroup"}, Cwd: "/", Env: []string{"PATH=/bin"}})
	if code != 0 {
		t.Errorf("exec: exit code %d: %s", code, exec)
	}
	text := map[string]string{"exec": exec, "init": out.until(t, "\n")}
	for _, who := range []string{"create", "start"} {
		b, err := os.ReadFile(filepath.Join(bundle, "rootfs/tmp", who))
		if err != nil {
			t.Fatal(err)
		}
		text[who] = string(b)
	}
	for who, cgroup := range text {
		if !strings.HasPrefix(cgroup, "0::"+spec.Linux.CgroupsPath) {
			t.Errorf("%s was in %q, not in %s", who, cgroup, spec.Linux.CgroupsPath)
		}
	}
}
