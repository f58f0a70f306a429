// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// rootless is a containerd that is root of a user namespace only.
type rootless struct {
	*harness
	d      *bed.Daemon
	cgroup string // delegated to it, as a path of the hierarchy
}

func (h *harness) rootless() *rootless {
	h.Helper()
	const id = 100000
	dir := testenv.Cgroup(h)
	h.must(os.Mkdir(dir+"/leaf", 0o755))
	for _, f := range []string{"", "/cgroup.procs", "/cgroup.subtree_control", "/leaf", "/leaf/cgroup.procs"} {
		h.must(os.Chown(dir+f, id, id))
	}
	root, err := bed.Root()
	h.must(err)
	c := config(root, "bin/test")
	c.Rootless = &bed.Rootless{ID: id, Cgroup: dir + "/leaf"}
	mount, err := testenv.CgroupRoot()
	h.must(err)
	return &rootless{h, startAlone(h.T, c), strings.TrimPrefix(dir, mount)}
}

// ctr runs ctr in containerd's namespaces.
func (r *rootless) ctr(args ...string) (string, error) {
	out, err := r.d.CtrInside(r.ctx, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// run is the start of a "ctr run".
func (r *rootless) run(cgroup string, args ...string) (string, error) {
	return r.ctr(append([]string{"run", "--runtime", r.runtime, "--fifo-dir", r.d.Dir + "/fifo", "--cgroup", cgroup}, args...)...)
}

// TestRootlessContainerd: a life of a container under a containerd that is root of a
// user namespace, which another tool has made, in a cgroup that is delegated to it;
// and what is said of one that is not. runc wants controllers for what every ctr run
// asks for, which such a cgroup mostly has not.
func TestRootlessContainerd(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		r := h.rootless()
		script := "id -u; cat /proc/self/uid_map | tr -s ' '; echo x >/dev/null && touch /made /tmp/made && stat -c %u:%g /made; hostname; umount /proc 2>/dev/null || echo kept"
		out, err := r.run(r.cgroup+"/one", "--rm", bed.Image, "one", "sh", "-c", script)
		h.must(err)
		name, _ := os.Hostname()
		h.equal("output", strings.Replace(out, name+"\n", "", 1), "0\n 0 100000 65536\n0:0\nkept\n")

		_, err = r.run(r.cgroup+"/two", "--detach", "--null-io", bed.Image, "two", "sleep", "1000")
		h.must(err)
		out, err = r.ctr("task", "exec", "--fifo-dir", r.d.Dir+"/fifo", "--exec-id", "e", "two", "sh", "-c", "id -u; ps | grep -c '[s]leep 1000'")
		h.must(err)
		h.equal("exec", out, "0\n1\n")
		for _, step := range [][]string{{"task", "pause", "two"}, {"task", "resume", "two"}, {"task", "metrics", "two"}, {"task", "kill", "-s", "KILL", "two"}} {
			if _, err := r.ctr(step...); err != nil {
				t.Error(err)
			}
		}
		h.eventually(func() error {
			_, err := r.ctr("task", "delete", "two")
			return err
		})
		_, err = r.ctr("container", "delete", "two")
		h.must(err)
		root, err := testenv.CgroupRoot()
		h.must(err)
		left, err := filepath.Glob(filepath.Join(root, r.cgroup, "*/"))
		h.must(err)
		for _, dir := range left {
			if info, err := os.Stat(dir); err == nil && info.IsDir() && filepath.Base(dir) != "leaf" {
				t.Errorf("left behind: %s", dir)
			}
		}
		_, err = r.run("/not-delegated", "--rm", bed.Image, "three", "true")
		if err == nil || !strings.Contains(err.Error(), "/not-delegated: permission denied") {
			t.Errorf("%v; want the cgroup's name", err)
		}
	})
}
