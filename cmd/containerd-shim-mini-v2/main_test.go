// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	taskv3 "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"

	"github.com/containerd-mini/mini/integration/testenv"
)

// shimBinary is the program under test, built once as it is released.
var shimBinary string

func TestMain(m *testing.M) {
	if path := os.Getenv(talkTo); path != "" {
		fmt.Println(talk(path))
		os.Exit(0)
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "mini-shim-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		shimBinary = filepath.Join(dir, "containerd-shim-mini-v2")
		build := exec.Command(
			"go", "build",
			"-tags", "no_grpc",
			"-ldflags", "-X main.version=1.2.3-test",
			"-o", shimBinary,
			".",
		)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		return testenv.Main(m)
	}())
}

// rig is what a containerd would give a shim: a socket directory and bundles.
type rig struct {
	t       *testing.T
	root    string // short, for a socket's path is
	sockets string
	binary  string
	env     []string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	testenv.Root(t)
	root, err := os.MkdirTemp("/tmp", "mini-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	return &rig{t: t, root: root, sockets: filepath.Join(root, "s"), binary: shimBinary}
}

// bundle makes a bundle whose config.json has the given annotations, as pairs.
func (r *rig) bundle(id string, annotations ...string) string {
	r.t.Helper()
	dir := filepath.Join(r.root, id)
	var pairs []string
	for i := 0; i < len(annotations); i += 2 {
		pairs = append(pairs, fmt.Sprintf("%q:%q", annotations[i], annotations[i+1]))
	}
	config := `{"ociVersion":"1.2.0","process":{"args":["true"]},"annotations":{` + strings.Join(pairs, ",") + `}}`
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return dir
}

// run runs the binary in dir and returns its standard output and error.
func (r *rig) run(dir string, stdin []byte, args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	cmd := exec.Command(r.binary, args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, bytes.NewReader(stdin), &out, &errs
	cmd.Env = append(os.Environ(), r.env...)
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func verb(id, action string) []string {
	return []string{
		"-namespace", "test",
		"-address", "/no/containerd.sock",
		"-publish-binary", "/bin/true",
		"-id", id,
		action,
	}
}

// start runs `start` as containerd 2.4 does and returns the socket's path.
func (r *rig) start(id, bundle string, change ...func(*bootapi.BootstrapParams)) string {
	r.t.Helper()
	params := &bootapi.BootstrapParams{
		InstanceID: id, Namespace: "test", SocketDir: &r.sockets,
		ContainerdGrpcAddress: "/no/containerd.sock", ContainerdTtrpcAddress: "/no/containerd.sock.ttrpc",
	}
	for _, c := range change {
		c(params)
	}
	input, err := proto.Marshal(params)
	if err != nil {
		r.t.Fatal(err)
	}
	stdout, stderr, err := r.run(bundle, input, verb(id, "start")...)
	if err != nil || stderr != "" {
		r.t.Fatalf("start: %v: %s", err, stderr)
	}
	var result bootapi.BootstrapResult
	if err := proto.Unmarshal([]byte(stdout), &result); err != nil {
		r.t.Fatalf("start answers %q: %v", stdout, err)
	}
	path, ok := strings.CutPrefix(result.Address, "unix://")
	if !ok || result.Version != 3 || result.Protocol != "ttrpc" {
		r.t.Fatalf("start answers %v", &result)
	}
	r.endOf(id)
	return path
}

// endOf kills what is left of a daemon when the test is over.
func (r *rig) endOf(id string) {
	r.t.Cleanup(func() {
		for _, pid := range daemons(r.t, id) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			waitGone(r.t, pid)
		}
	})
}

// daemons lists the pids of the daemons that were started for id.
func daemons(t *testing.T, id string) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		args := strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
		i := slices.Index(args, "-id")
		if i < 0 || i+1 >= len(args) || args[i+1] != id || !strings.HasSuffix(args[0], "containerd-shim-mini-v2") ||
			slices.Contains(args, "start") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

func oneDaemon(t *testing.T, id string) int {
	t.Helper()
	pids := daemons(t, id)
	if len(pids) != 1 {
		t.Fatalf("daemons of %s: %v, want one", id, pids)
	}
	return pids[0]
}

// dial connects to a shim and returns its pid, as Connect tells.
func dial(t *testing.T, path string) (*ttrpc.Client, int) {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	t.Cleanup(func() { client.Close() })
	resp, err := taskv3.NewTTRPCTaskClient(client).Connect(timeout(t), &taskv3.ConnectRequest{ID: "any"})
	if err != nil {
		t.Fatal(err)
	}
	return client, int(resp.ShimPid)
}

func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	eventually(t, fmt.Sprintf("process %d is gone", pid), func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		// Process 1 may take its time to reap it. Its first thread may be dead
		// before others are, which still hold its files.
		threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		return err != nil || strings.Contains(string(stat), ") Z ") && len(threads) <= 1
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
