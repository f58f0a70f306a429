// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	taskv2 "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/containerd/api/types/runc/options"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/containerd-mini/mini/integration/testenv"
)

func TestStart(t *testing.T) {
	r := newRig(t)
	bundle := r.bundle("c1")
	path := r.start("c1", bundle)

	if st, err := os.Stat(r.sockets); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("socket directory: %v, %v", st.Mode(), err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode() != os.ModeSocket|0o600 {
		t.Errorf("socket: %v, %v", st.Mode(), err)
	}
	if filepath.Dir(path) != r.sockets || len(filepath.Base(path)) != 64 {
		t.Errorf("socket is %s", path)
	}
	if data, err := os.ReadFile(filepath.Join(bundle, "address")); string(data) != "unix://"+path {
		t.Errorf("address holds %q, %v", data, err)
	}

	client, pid := dial(t, path)
	if want := oneDaemon(t, "c1"); pid != want {
		t.Errorf("Connect says pid %d, want %d", pid, want)
	}
	resp, err := taskv2.NewTTRPCTaskClient(client).Connect(timeout(t), &taskv2.ConnectRequest{ID: "c1"})
	if err != nil || int(resp.ShimPid) != pid {
		t.Errorf("task v2: %v, %v", resp, err)
	}
}

func TestStartedProcess(t *testing.T) {
	r := newRig(t)
	bundle := r.bundle("c1")
	r.start("c1", bundle, func(p *bootapi.BootstrapParams) { p.LogLevel = bootapi.LogLevel_LOG_LEVEL_DEBUG })
	pid := oneDaemon(t, "c1")

	proc := func(name string) string {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	eventually(t, "named containerd-shim", func() bool { return proc("comm") == "containerd-shim\n" })
	want := []string{shimBinary, "-namespace", "test", "-id", "c1", "-address", "/no/containerd.sock", "-debug", ""}
	if proc("cmdline") != strings.Join(want, "\x00") {
		t.Errorf("command line %q", proc("cmdline"))
	}
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(own)))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(proc("oom_score_adj")); got != strconv.Itoa(min(score+1, 1000)) {
		t.Errorf("oom_score_adj %s, parent's %d", got, score)
	}
	if pgid, err := syscall.Getpgid(pid); pgid != pid {
		t.Errorf("process group %d, %v", pgid, err)
	}
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); cwd != bundle {
		t.Errorf("working directory %s, %v", cwd, err)
	}
	for line := range strings.Lines(proc("status")) {
		// What is ignored here stays ignored in containers.
		if ignored, ok := strings.CutPrefix(line, "SigIgn:"); ok && strings.Trim(ignored, "0 \t\n") != "" {
			t.Errorf("signals ignored: %s", line)
		}
	}
	if !strings.Contains(proc("environ"), "TTRPC_ADDRESS=/no/containerd.sock.ttrpc\x00") {
		t.Error("TTRPC_ADDRESS is not handed on")
	}
	for fd := range 3 {
		if target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); target != "/dev/null" {
			t.Errorf("descriptor %d is %s, %v", fd, target, err)
		}
	}
}

// An older containerd sends the runtime options, or nothing, and reads JSON or

// a bare address. The socket is where it expects none in particular.

func TestStartReplacesStaleSocket(t *testing.T) {
	r := newRig(t)
	bundle := r.bundle("c1")
	path := r.start("c1", bundle)
	first := oneDaemon(t, "c1")
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGone(t, first)
	if !exists(path) {
		t.Fatal("the socket went with its killed daemon")
	}
	if again := r.start("c1", bundle); again != path {
		t.Errorf("socket %s, want %s", again, path)
	}
	if _, pid := dial(t, path); pid == first || pid != oneDaemon(t, "c1") {
		t.Errorf("pid %d answers", pid)
	}
}

func TestStartFails(t *testing.T) {
	r := newRig(t)
	bundle := r.bundle("c1")
	long := filepath.Join(r.root, strings.Repeat("x", 60))
	params := func(change func(*bootapi.BootstrapParams)) []byte {
		p := &bootapi.BootstrapParams{InstanceID: "c1", Namespace: "test", SocketDir: &r.sockets}
		change(p)
		input, err := proto.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return input
	}
	options, err := proto.Marshal(&options.Options{ShimCgroup: "/no/such/cgroup"})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		dir   string
		input []byte
		want  string
	}{
		"no config.json": {
			t.TempDir(),
			params(func(*bootapi.BootstrapParams) {}),
			"open config.json: no such file or directory",
		},
		"long path": {bundle, params(func(p *bootapi.BootstrapParams) { p.SocketDir = &long }), "file name too long"},
		"no cgroup": {bundle, params(func(p *bootapi.BootstrapParams) {
			p.Extensions = []*bootapi.Extension{{Value: &anypb.Any{TypeUrl: "containerd.runc.v1.Options", Value: options}}}
		}), "join cgroup /no/such/cgroup: no such file or directory"},
		"garbage": {bundle, []byte("\xff\xff"), "neither bootstrap parameters nor runtime options"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, err := r.run(tt.dir, tt.input, verb("c1", "start")...)
			if err == nil || stdout != "" {
				t.Fatalf("start: %v, %q", err, stdout)
			}
			if !strings.Contains(stderr, tt.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("start says %q, want %q", stderr, tt.want)
			}
			if left, _ := filepath.Glob(r.sockets + "/*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestShimCgroup(t *testing.T) {
	r := newRig(t)
	root, err := testenv.CgroupRoot()
	if err != nil {
		testenv.Unavailable(t, "%v", err)
	}
	name := "mini-test-" + filepath.Base(r.root)
	if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		eventually(t, "cgroup is removed", func() bool { return os.Remove(filepath.Join(root, name)) == nil })
	})
	value, err := proto.Marshal(&options.Options{ShimCgroup: "/" + name})
	if err != nil {
		t.Fatal(err)
	}
	r.start("c1", r.bundle("c1"), func(p *bootapi.BootstrapParams) {
		p.Extensions = []*bootapi.Extension{{Value: &anypb.Any{TypeUrl: "containerd.runc.v1.Options", Value: value}}}
	})
	data, err := os.ReadFile(filepath.Join(root, name, "cgroup.procs"))
	if err != nil || strings.TrimSpace(string(data)) != strconv.Itoa(oneDaemon(t, "c1")) {
		t.Errorf("processes of the cgroup: %q, %v", data, err)
	}
}

// `start` must not wait for the packages that it does not need.

func TestStartIsEarly(t *testing.T) {
	r := newRig(t)
	r.env = []string{"GODEBUG=inittrace=1"}
	_, stderr, err := r.run(t.TempDir(), nil, verb("c1", "start")...)
	if err == nil || !strings.Contains(stderr, "init os @") {
		t.Fatalf("start: %v, %q", err, stderr)
	}
	for _, heavy := range []string{
		"google.golang.org/grpc",
		"google.golang.org/protobuf/reflect",
		"github.com/containerd/",
		"net ",
	} {
		if strings.Contains(stderr, "init "+heavy) {
			t.Errorf("initialised before start: %s", heavy)
		}
	}
}
