// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestStartIn: a helper is in the cgroup, and has the files that it is given, by
// number, and no other.
func TestStartIn(t *testing.T) {
	testenv.Root(t)
	dir := testenv.Cgroup(t)
	group, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	out, other := newOutput(t), newOutput(t)
	cmd := exec.Command("/bin/sh", "-c", `test -c /proc/$$/fd/1 && echo null >&3; exec >&5; grep ^0: /proc/self/cgroup; pwd; echo $HELPED; stat -Lc %t:%T /proc/$$/fd/0 /proc/$$/fd/2; n=3; while test $n -lt 99; do test -e /proc/$$/fd/$n && echo $n; n=$((n + 1)); done; exit 3`)
	cmd.Dir, cmd.Env = "/etc", []string{"HELPED=yes", "PATH=/bin:/usr/bin"}
	cmd.ExtraFiles = []*os.File{other.w, group, out.w}
	wait, err := startIn(t.Context(), group)(cmd)
	if err != nil {
		t.Fatal(err)
	}
	text := out.read(t)
	if err := wait(); err == nil || err.Error() != "exit status 3" {
		t.Errorf("wait: %v", err)
	}
	root, err := testenv.CgroupRoot()
	if err != nil {
		t.Fatal(err)
	}
	want := "0::" + strings.TrimPrefix(dir, root) + "\n/etc\nyes\n1:3\n1:3\n3\n4\n5\n"
	if text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	if text := other.read(t); text != "null\n" {
		t.Errorf("descriptor 3: %q", text)
	}

	cmd = exec.Command(filepath.Join(t.TempDir(), "none"))
	cmd.Dir = "/"
	if _, err := startIn(t.Context(), group)(cmd); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
}
