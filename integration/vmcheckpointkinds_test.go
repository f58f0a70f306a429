// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/pkg/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
)

// checkpointKind is a container that is something else than the default.
type checkpointKind struct {
	name   string
	group  int // those of a group may be one container
	opts   []oci.SpecOpts
	script string // runs before the count
	check  string // runs in the restored container, and must succeed
	empty  []string
	mode   string
}

// checkpointKinds are to be checkpointed and restored.
func checkpointKinds() []checkpointKind {
	tmpfs := specs.Mount{Destination: "/scratch", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid"}}
	return []checkpointKind{
		{name: "host pid namespace", group: 1, opts: []oci.SpecOpts{hostNamespace("pid")}},
		{name: "host network", group: 1, opts: []oci.SpecOpts{hostNamespace("network")}},
		{name: "host ipc with uts", group: 1, opts: []oci.SpecOpts{hostNamespace("ipc"), hostNamespace("uts")}},
		{name: "host cgroup namespace", group: 1, opts: []oci.SpecOpts{hostNamespace("cgroup")}},
		{name: "read-only root", group: 1, opts: []oci.SpecOpts{oci.WithRootFSReadonly()}, check: "! touch /x 2>/dev/null"},
		{name: "user", group: 2, opts: []oci.SpecOpts{oci.WithUser("1000:1000")}, check: "test $(stat -c %u /proc/1) = 1000 && test $(stat -Lc %u /proc/1/fd/1) = 1000"},
		{name: "tmpfs", group: 2, opts: []oci.SpecOpts{oci.WithMounts([]specs.Mount{tmpfs})}, script: "echo kept > /scratch/f;", check: "test $(cat /scratch/f) = kept"},
		{name: "host name", group: 2, opts: []oci.SpecOpts{oci.WithHostname("named")}, check: "test $(hostname) = named"},
		{name: "own cgroups", group: 2, script: "mkdir -p /sys/fs/cgroup/own 2>/dev/null;"},
		{name: "empty network", group: 2, empty: []string{"network"}},
		{name: "cgroups ignored", group: 3, mode: "ignore"},
		{name: "a deleted file", group: 3, script: "echo kept > /f; exec 8</f; rm /f;", check: "test $(cat /proc/1/fd/8) = kept"},
	}
}

// together makes one of the kinds of each group.
func together(kinds []checkpointKind) (few []checkpointKind) {
	for _, k := range kinds {
		if len(few) == 0 || few[len(few)-1].group != k.group {
			few = append(few, checkpointKind{group: k.group, check: "true"})
		}
		all := &few[len(few)-1]
		all.name = strings.TrimPrefix(all.name+" and "+k.name, " and ")
		all.opts = append(all.opts, k.opts...)
		all.script += k.script
		if k.check != "" {
			all.check += " && " + k.check
		}
		all.empty = append(all.empty, k.empty...)
		all.mode += k.mode
	}
	return few
}

// TestVMCheckpointOfEveryKind: several kinds are one container, but where all
// combinations are to be tested each is alone. To save time not on runc, where each
// passes as well, but for the read-only root: that is writable after the restore.
func TestVMCheckpointOfEveryKind(t *testing.T) {
	testenv.Needs(t, testenv.Program("criu"))
	kinds := checkpointKinds()
	if !testenv.Full() {
		kinds = together(kinds)
	}
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			miniOnly(t, func(t *testing.T, h *harness) {
				opts := append(kind.opts, sh(kind.script+"i=0; while :; do i=$((i+1)); echo n$i; sleep 0.05; done"))
				c, dir := h.start(opts...), h.images()
				c.expect("n3\n")
				h.must(c.checkpoint(dir, &options.CheckpointOptions{Exit: true, EmptyNamespaces: kind.empty, CgroupsMode: kind.mode}))
				c.ended()
				r := h.restore(c.c, dir)
				r.goesOn(c)
				if kind.check != "" {
					if out, errs, code := r.execs(sh(kind.check)); code != 0 {
						t.Errorf("%s: exit code %d, %q %q", kind.check, code, out, errs)
					}
				}
				r.kill()
			})
		})
	}
}

// TestVMCheckpointAppArmor: what is restored is confined by the specification's
// profile.
func TestVMCheckpointAppArmor(t *testing.T) {
	testenv.Needs(t, testenv.Program("criu"), testenv.AppArmor())
	eachIfFull(t, func(t *testing.T, h *harness) {
		h.profiles(map[string]string{"mini-test-one": "deny /etc/passwd r,"})
		c, dir := h.start(apparmor("mini-test-one"), count()), h.images()
		c.expect("n3\n")
		h.must(c.checkpoint(dir, &options.CheckpointOptions{Exit: true}))
		c.ended()
		r := h.restore(c.c, dir)
		r.goesOn(c)
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/attr/current", r.Pid()))
		h.must(err)
		h.equal("profile", strings.TrimSpace(string(b)), "mini-test-one (enforce)")
		r.kill()
	})
}
