// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// criHandler is a runtime as containerd's configuration for Kubernetes names it.
type criHandler struct {
	name    string
	runtime string // runtime_type
	shim    string // the program that makes the containers
	path    bool   // named by runtime_path, not looked up by its type
	toml    string // of its options
}

// criHandlers are the ways to have pods made by mini, and runc.
func criHandlers(dir string) []criHandler {
	all := []criHandler{
		{name: "mini", runtime: mini, shim: mini},
		{name: "mini-options", runtime: mini, shim: mini, toml: "SystemdCgroup = false\nNoNewKeyring = true"},
		{name: "mini-file", runtime: mini, shim: mini, toml: fmt.Sprintf(
			"TypeUrl = 'containerd.runc.v1.Options'\nConfigPath = '%s/options.toml'", dir)},
		{name: "mini-as-runc", runtime: runc, shim: mini, path: true, toml: "SystemdCgroup = false\nBinaryName = '/nonexistent'"},
		{name: "runc", runtime: runc, shim: runc},
	}
	if bed.Scopes() {
		all = []criHandler{
			{name: "mini", runtime: mini, shim: mini}, // the path alone says it
			{name: "mini-options", runtime: mini, shim: mini, toml: "SystemdCgroup = true"},
			{name: "runc", runtime: runc, shim: runc, toml: "SystemdCgroup = true"},
		}
	}
	return slices.DeleteFunc(all, func(c criHandler) bool { return !slices.Contains(runtimes(), c.shim) })
}

// kubelet is a test that drives containerd as kubelet does, with one handler.
type kubelet struct {
	*harness
	criHandler
	api cri.RuntimeServiceClient
}

// eachHandler runs the test with mini, and runc, as two handlers.
func eachHandler(t *testing.T, test func(t *testing.T, k *kubelet)) {
	t.Helper()
	someHandlers(t, func(c criHandler) bool { return c.toml == "" || bed.Scopes() }, test)
}

// allHandlers runs the test with every way to name mini, and with runc.
func allHandlers(t *testing.T, test func(t *testing.T, k *kubelet)) {
	t.Helper()
	someHandlers(t, func(criHandler) bool { return true }, test)
}

// someHandlers runs the test with those handlers, on a containerd of its own that
// has the CRI plugin.
func someHandlers(t *testing.T, some func(criHandler) bool, test func(t *testing.T, k *kubelet)) {
	t.Helper()
	testenv.Root(t)
	root, err := bed.Root()
	if err != nil {
		t.Fatal(err)
	}
	c := config(root, shimsDir("test"))
	if c.Containerd = os.Getenv("CONTAINERD_DIR"); c.Containerd == "" {
		c.Containerd = filepath.Join(root, "bin/tools/cri")
	}
	dir := t.TempDir()
	handlers := criHandlers(dir)
	if err := os.WriteFile(dir+"/options.toml", []byte("NoNewKeyring = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.CRI = func(r bed.Release) string { return criConfig(r, dir, handlers) }
	writeWrappers(t, dir, c)
	writeCNI(t, dir)
	c.ShimDirs = []string{dir}
	c.SocketDir = bed.DefaultSocketDir
	d := startAlone(t, c)
	if err := d.Import(context.Background(), "k8s.io"); err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("unix://"+d.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	for _, handler := range handlers {
		if !some(handler) {
			continue
		}
		if handler.path && d.Release().Before(1, 7) {
			continue // CRI has no runtime_path yet
		}
		t.Run(handler.name, func(t *testing.T) {
			test(t, &kubelet{newHarness(t, handler.shim, d), handler, cri.NewRuntimeServiceClient(conn)})
		})
	}
}

// writeWrappers puts scripts in place of the shims where cgroup2 has no cpu
// controller: CRI gives the first container of every pod CPU shares, which have to
// be refused then.
func writeWrappers(t *testing.T, dir string, c bed.Config) {
	t.Helper()
	for name, places := range map[string][]string{
		"containerd-shim-mini-v2": {c.ShimDirs[0]},
		"containerd-shim-runc-v2": {c.Containerd, c.Root + "/bin/tools"},
	} {
		i := slices.IndexFunc(places, func(p string) bool {
			_, err := os.Stat(p + "/" + name)
			return err == nil
		})
		if i < 0 {
			t.Fatalf("no %s in %q", name, places)
		}
		script := "#!/bin/sh\n"
		if !controller("cpu") {
			script += `[ ! -f config.json ] || sed -i 's/"shares":2\b//' config.json` + "\n"
		}
		script += fmt.Sprintf("exec %s/%s \"$@\"\n", places[i], name)
		if err := os.WriteFile(dir+"/"+name, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// writeCNI writes a network for pods: plugins that give each an address, and lead
// nowhere.
func writeCNI(t *testing.T, dir string) {
	t.Helper()
	const plugin = `#!/bin/sh
# in CNI_NETNS, the rest of the request on standard input
cat >/dev/null
address() {
	nsenter --net="$CNI_NETNS" sh -ec "$1" >&2 || exit 1
	echo "{\"cniVersion\": \"0.4.0\", \"interfaces\": [{\"name\": \"$CNI_IFNAME\", \"sandbox\": \"$CNI_NETNS\"}], \"ips\": [{\"version\": \"4\", \"interface\": 0, \"address\": \"$2\"}]}"
}
case $CNI_COMMAND-${0##*/} in
ADD-loopback) address "ip link set lo up" 127.0.0.1/8 ;;
ADD-*) address "ip link add eth0 type bridge; ip addr add 10.88.0.2/16 dev eth0; ip link set eth0 up" 10.88.0.2/16 ;;
VERSION-*) echo '{"cniVersion": "0.4.0", "supportedVersions": ["0.3.1", "0.4.0"]}' ;;
esac
`
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir+"/net.d", 0o755); err != nil {
		t.Fatal(err)
	}
	write("net.d/10-nowhere.conflist", `{"cniVersion": "0.4.0", "name": "nowhere", "plugins": [{"type": "nowhere"}]}`, 0o644)
	write("nowhere", plugin, 0o755)
	write("loopback", plugin, 0o755)
}

// criConfig is the configuration of the CRI plugin, whose tables have had other
// names since 2.0.
func criConfig(r bed.Release, dir string, handlers []criHandler) string {
	run, pause := "io.containerd.cri.v1.runtime", "[plugins.'io.containerd.cri.v1.images'.pinned_images]\n  sandbox"
	bin := "bin_dirs = ['%s']"
	if r.Before(2, 0) {
		run = "io.containerd.grpc.v1.cri"
		pause = "  sandbox_image" // in the same table
	}
	if r.Before(2, 1) {
		bin = "bin_dir = '%s'"
	}
	var b strings.Builder
	// Without CAP_SYS_RESOURCE the score cannot become less, as CRI wants it.
	const score = "/proc/self/oom_score_adj"
	restrict := os.WriteFile(score, []byte("-1"), 0) != nil || os.WriteFile(score, []byte("0"), 0) != nil
	fmt.Fprintf(&b, "[plugins.'%s']\n  restrict_oom_score_adj = %t\n  drain_exec_sync_io_timeout = '2s'\n", run, restrict)
	fmt.Fprintf(&b, "%s = 'mini.test/pause:latest'\n[plugins.'%s'.cni]\n  conf_dir = '%s/net.d'\n  "+bin+"\n", pause, run, dir, dir)
	fmt.Fprintf(&b, "[plugins.'%s'.containerd]\n  default_runtime_name = '%s'\n", run, handlers[0].name)
	for _, h := range handlers {
		table := fmt.Sprintf("plugins.'%s'.containerd.runtimes.%s", run, h.name)
		fmt.Fprintf(&b, "[%s]\n  runtime_type = '%s'\n", table, h.runtime)
		if h.path {
			fmt.Fprintf(&b, "  runtime_path = '%s/containerd-shim-mini-v2'\n", dir)
		}
		if h.toml != "" {
			fmt.Fprintf(&b, "[%s.options]\n%s\n", table, h.toml)
		}
	}
	return b.String()
}

// pod is a pod sandbox.
type pod struct {
	*kubelet
	id     string
	config *cri.PodSandboxConfig
}

// runPod starts a pod in the bed's network. It is removed at the end of the test.
func (k *kubelet) runPod(change ...func(*cri.PodSandboxConfig)) *pod {
	k.Helper()
	p, err := k.tryPod(change...)
	k.must(err)
	return p
}

func (k *kubelet) tryPod(change ...func(*cri.PodSandboxConfig)) (*pod, error) {
	k.Helper()
	name := k.newID()
	c := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Uid: name, Namespace: "default"},
		LogDirectory: k.TempDir(),
		DnsConfig:    &cri.DNSConfig{Servers: []string{"127.0.0.1"}},
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent: "/bed/" + name,
			SecurityContext: &cri.LinuxSandboxSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER},
			},
		},
	}
	for _, f := range change {
		f(c)
	}
	if bed.Scopes() {
		k.slice(c, name)
	} else {
		group := "/sys/fs/cgroup" + c.Linux.CgroupParent // which kubelet makes and removes
		k.must(os.MkdirAll(group, 0o755))
		k.Cleanup(func() { k.eventually(func() error { return os.Remove(group) }) })
	}
	r, err := k.api.RunPodSandbox(k.ctx, &cri.RunPodSandboxRequest{Config: c, RuntimeHandler: k.name})
	if err != nil {
		return nil, err
	}
	p := &pod{k, r.PodSandboxId, c}
	k.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience(30*time.Second))
		defer cancel()
		_, err := k.api.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.id})
		if err == nil {
			_, err = k.api.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.id})
		}
		if err != nil {
			k.Error(err)
		}
	})
	return p, nil
}

// slice gives the pod a slice of systemd's, which kubelet stops in the end.
func (k *kubelet) slice(c *cri.PodSandboxConfig, name string) {
	k.Helper()
	slice := "minitest-" + strings.ReplaceAll(name, "-", "_") + ".slice"
	c.Linux.CgroupParent = "/" + bed.Slice + "/" + slice
	k.Cleanup(func() {
		if out, err := exec.Command("systemctl", "stop", slice).CombinedOutput(); err != nil {
			k.Errorf("%v: %s", err, out)
		}
	})
}

// group is the path of a container's cgroup.
func (p *pod) group(id string) string {
	if bed.Scopes() {
		id = "cri-containerd-" + id + ".scope"
	}
	return "/sys/fs/cgroup" + p.config.Linux.CgroupParent + "/" + id
}

// create makes a container in the pod and returns its id.
func (p *pod) create(script string, change ...func(*cri.ContainerConfig)) string {
	p.Helper()
	id, err := p.tryCreate(script, change...)
	p.must(err)
	return id
}

func (p *pod) tryCreate(script string, change ...func(*cri.ContainerConfig)) (string, error) {
	p.Helper()
	name := p.newID()
	c := &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: name},
		Image:    &cri.ImageSpec{Image: imageName},
		Command:  []string{"sh", "-c", script},
		LogPath:  name + ".log",
		Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{
			NamespaceOptions: p.config.Linux.SecurityContext.NamespaceOptions,
		}},
	}
	for _, f := range change {
		f(c)
	}
	r, err := p.api.CreateContainer(p.ctx, &cri.CreateContainerRequest{PodSandboxId: p.id, Config: c, SandboxConfig: p.config})
	return r.GetContainerId(), err
}

// start is create, and start.
func (p *pod) start(script string, change ...func(*cri.ContainerConfig)) string {
	p.Helper()
	id := p.create(script, change...)
	_, err := p.api.StartContainer(p.ctx, &cri.StartContainerRequest{ContainerId: id})
	p.must(err)
	return id
}

// exec runs a script in a container, as a probe does.
func (p *pod) exec(id, script string) *cri.ExecSyncResponse {
	p.Helper()
	r, err := p.api.ExecSync(p.ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"sh", "-c", script}, Timeout: 20})
	p.must(err)
	return r
}

// status is a container's, with its process id.
func (p *pod) status(id string) (*cri.ContainerStatus, int) {
	p.Helper()
	r, err := p.api.ContainerStatus(p.ctx, &cri.ContainerStatusRequest{ContainerId: id, Verbose: true})
	p.must(err)
	var info struct{ Pid int }
	if text := r.Info["info"]; text != "" {
		p.must(json.Unmarshal([]byte(text), &info))
	}
	return r.Status, info.Pid
}

// wait waits for the end of a container.
func (p *pod) wait(id string) *cri.ContainerStatus {
	p.Helper()
	var s *cri.ContainerStatus
	p.eventually(func() error {
		if s, _ = p.status(id); s.State != cri.ContainerState_CONTAINER_EXITED {
			return fmt.Errorf("container %s: %v", id, s.State)
		}
		return nil
	})
	return s
}

// log is what a container printed, with a time and the stream before each line.
func (p *pod) log(id string) string {
	p.Helper()
	s, _ := p.status(id)
	data, err := os.ReadFile(s.LogPath)
	p.must(err)
	return string(data)
}
