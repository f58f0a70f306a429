// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	coremount "github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-mini/mini/integration/testenv"
)

// fuseOverlay is a rootfs as the fuse-overlayfs snapshotter gives it, on a busybox.
// Upper is its upper directory.
func (h *harness) fuseOverlay(t *testing.T) (rootfs client.NewTaskOpts, upper string) {
	t.Helper()
	if testenv.InVM() {
		t.Skip("the virtual machine's disk has no fuse-overlayfs")
	}
	for _, program := range []string{"mount.fuse3", "fuse-overlayfs"} {
		if _, err := exec.LookPath(program); err != nil {
			testenv.Unavailable(t, "%s is not installed: run make setup", program)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"upper", "work"} {
		h.must(os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	upper = filepath.Join(dir, "upper")
	return client.WithRootFS([]coremount.Mount{{Type: "fuse3.fuse-overlayfs", Source: "overlay", Options: []string{
		"workdir=" + dir + "/work", "upperdir=" + upper, "lowerdir=" + testenv.Rootfs(t),
	}}}), upper
}

// servers are the processes of the host with a word in their command line.
func (h *harness) servers(word string) (pids []int) {
	h.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	h.must(err)
	for _, file := range all {
		line, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(line), word) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			h.must(err)
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestFuseRootfs: containerd's convention for file systems that a program mounts, with
// fuse-overlayfs. Its server is none of the container's processes, has nothing of the
// shim's open, and ends with the container, as the mount does.
func TestFuseRootfs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		rootfs, upper := h.fuseOverlay(t)
		task, err := h.tryCreate(h.container(sh("echo text >/made; grep ' / ' /proc/mounts; echo ready; sleep 1000")), rootfs)
		h.must(err)
		h.must(task.Start(h.ctx))
		task.expect("ready")
		text, err := os.ReadFile(upper + "/made")
		h.must(err)
		h.equal("/made", string(text), "text\n")
		if out := task.out.String(); !strings.Contains(out, "fuse.fuse-overlayfs") {
			t.Errorf("the root's file system: %s", out)
		}
		h.checkServer(task, upper)
		h.equal("exec", task.says("cat /made"), "text")
		task.kill()
		h.serverEnds(upper)
	})
}

func (h *harness) checkServer(task *task, upper string) {
	h.Helper()
	servers := h.servers(upper)
	if len(servers) != 1 {
		h.Fatalf("servers: %v", servers)
	}
	pids, err := task.Pids(h.ctx)
	h.must(err)
	for _, p := range pids {
		if int(p.Pid) == servers[0] {
			h.Errorf("the file system's server is in the container's cgroup")
		}
	}
	if !h.mini() {
		return
	}
	shim := h.fds(task.shim())
	for _, to := range h.fds(servers[0]) { // libfuse has a pipe of its own
		if to != "/dev/null" && slices.Contains(shim, to) || strings.HasPrefix(to, "socket:") || strings.Contains(to, "fifo") {
			h.Errorf("the server has open %s", to)
		}
	}
}

func (h *harness) serverEnds(upper string) {
	h.Helper()
	h.eventually(func() error {
		if pids := h.servers(upper); len(pids) > 0 {
			return fmt.Errorf("the server is there: %v", pids)
		}
		return nil
	})
}

// TestFuseRootfsWithoutItsShim: after the shim was killed, the mount and its server go
// as well.
func TestFuseRootfsWithoutItsShim(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		rootfs, upper := h.fuseOverlay(t)
		task, err := h.tryCreate(h.container(forever()), rootfs)
		h.must(err)
		h.must(task.Start(h.ctx))
		task.expect("ready")
		h.must(syscall.Kill(task.shim(), syscall.SIGKILL))
		<-task.exit
		h.remove(h.lastID())
		h.serverEnds(upper)
	})
}

// TestFuseRootfsHangs: a server that does not answer keeps nobody from ending and
// deleting its container.
func TestFuseRootfsHangs(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		rootfs, upper := h.fuseOverlay(t)
		task, err := h.tryCreate(h.container(forever()), rootfs)
		h.must(err)
		h.must(task.Start(h.ctx))
		task.expect("ready")
		server := h.servers(upper)
		h.must(syscall.Kill(server[0], syscall.SIGSTOP))
		begin := time.Now()
		task.kill()
		if took := time.Since(begin); took > testenv.Patience(5*time.Second) {
			t.Errorf("kill and delete took %v", took)
		}
		h.must(syscall.Kill(server[0], syscall.SIGCONT))
		h.serverEnds(upper)
	})
}

// TestFuseRootfsFails: a helper that fails says why in Create's error, and a Create
// that fails later leaves neither mount nor server.
func TestFuseRootfsFails(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		_, _ = h.fuseOverlay(t) // is it there
		_, err := h.tryCreate(h.container(sh("true")), client.WithRootFS([]coremount.Mount{{
			Type: "fuse3.fuse-overlayfs", Source: "overlay", Options: []string{"lowerdir=/no/such/layer"},
		}}))
		if err == nil || !strings.Contains(err.Error(), "mount.fuse3") || !strings.Contains(err.Error(), "/no/such/layer") {
			t.Errorf("got %v", err)
		}
		_, err = h.tryCreate(h.container(sh("true")), client.WithRootFS([]coremount.Mount{{Type: "fuse3.no-such-program", Source: "none"}}))
		if err == nil || !strings.Contains(err.Error(), "no-such-program") {
			t.Errorf("got %v", err)
		}
		rootfs, upper := h.fuseOverlay(t)
		if _, err := h.tryCreate(h.container(oci.WithProcessArgs("/no/such/command")), rootfs); err == nil {
			t.Error("created")
		}
		h.serverEnds(upper)
	})
}
