// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/sys"
)

// neighbour starts a container that waits, and returns its pid namespace.
func neighbour(t testing.TB) (pidns string) {
	t.Helper()
	out := newOutput(t)
	c := started(t, newBundle(t), newSpec(t, "sh", "-c", "echo ready; sleep 1000; true"), out)
	out.until(t, "ready\n")
	return "/proc/" + strconv.Itoa(c.Init().Pid()) + "/ns/pid"
}

// joinPID has a container join a pid namespace.
func joinPID(spec *specs.Spec, pidns string) {
	for i := range spec.Linux.Namespaces {
		if spec.Linux.Namespaces[i].Type == specs.PIDNamespace {
			spec.Linux.Namespaces[i].Path = pidns
		}
	}
}

// TestProcfsContext makes a procfs of the pid namespace of others, as it is done before
// Linux 6.18.
func TestProcfsContext(t *testing.T) {
	testenv.Root(t)
	pidns, err := os.Open(neighbour(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pidns.Close()
	f, err := procfsContext(t.Context(), pidns)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tree, err := sys.FSMount(int(f.Fd()), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close(tree)
	fd, err := sys.OpenAt(tree, "1/cmdline", unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "cmdline")
	defer file.Close()
	buf := make([]byte, 100)
	if n, err := file.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "sh\x00-c\x00echo ready") {
		t.Errorf("process 1 is %q: %v", buf[:n], err)
	}
}

// TestContextOfAnotherType: of a file system context that comes from a process which
// others can control, the kernel tells the type.
func TestContextOfAnotherType(t *testing.T) {
	testenv.Root(t)
	for _, fstype := range []string{"proc", "tmpfs", "ext4", "overlay", "sysfs"} {
		fd, err := sys.FSOpen(fstype)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), fstype)
		// What is written down of the kernel's errors begins with what others have caused. Older
		// kernels have file systems that take any parameter until they are made.
		if err := sys.FSFlag(fd, "proc: Unknown parameter"); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v", fstype, err)
		}
		if err := sys.FSIs(f, "proc"); (err == nil) != (fstype == "proc") {
			t.Errorf("%s: %v", fstype, err)
		}
		f.Close()
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := sys.FSIs(null, "proc"); err == nil {
		t.Error("the null device is a file system context")
	}
}

// TestJoinedPIDNamespaceBefore618 runs a container in the pid namespace of another one
// without the parameter pidns of procfs.
func TestJoinedPIDNamespaceBefore618(t *testing.T) {
	testenv.Root(t)
	takes := procfsTakesPIDNS
	t.Cleanup(func() { procfsTakesPIDNS = takes })
	procfsTakesPIDNS = func() bool { return false }
	spec := newSpec(t, "sh", "-c", "cat /proc/1/cmdline | grep -c sleep; test -d /proc/self && echo $(readlink /proc/self)")
	spec.Linux.CgroupsPath += "-second"
	joinPID(spec, neighbour(t))
	text, code := run(t, spec)
	if code != 0 || !strings.HasPrefix(text, "1\n") || strings.HasPrefix(text, "1\n1\n") || len(strings.Fields(text)) != 2 {
		t.Errorf("exit code %d, output %q", code, text)
	}
}
