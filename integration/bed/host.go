// SPDX-License-Identifier: Apache-2.0

package bed

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"github.com/containerd-mini/mini/integration/testenv"
)

// Slice is systemd's slice for the containers of tests with scopes.
const Slice = "minitest.slice"

// Scopes reports whether containers are to be in systemd's scopes: DRIVER=systemd of
// `make test-vm`. Then there is no bed, which hides systemd: the tests run straight
// on the virtual machine.
func Scopes() bool { return testenv.InVM() && os.Getenv("MINI_DRIVER") == "systemd" }

// scope is the path of a scope of package integration, or of
// a cgroup below it.
var scope = regexp.MustCompile(`^/.*/(bed|docker|cri-containerd)-[^/]*\.scope(/|$)`)

// enterHost puts the process into a cgroup of its own, by which it is told from the
// machine's others what the tests have started.
func enterHost() error {
	group, err := ownGroup("self")
	if err != nil {
		return err
	}
	dir := fmt.Sprintf("/sys/fs/cgroup%s/tests-%d", group, os.Getpid())
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(dir+"/cgroup.procs", []byte("0"), 0)
}

func ownGroup(pid string) (string, error) {
	data, err := os.ReadFile("/proc/" + pid + "/cgroup")
	return strings.TrimPrefix(strings.TrimSpace(string(data)), "0::"), err
}

// ours reports whether a process is of the tests: what they started themselves, and
// what is in a scope.
func ours(pid string) bool {
	if !Scopes() {
		return true
	}
	own, _ := ownGroup("self")
	group, err := ownGroup(pid)
	return err == nil && (group == own || scope.MatchString(group))
}

// units are those of containers, that failed or that are there at all.
func units() ([]string, error) {
	out, err := exec.Command("systemctl", "list-units", "--all", "--plain", "--no-legend",
		"bed-*.scope", "docker-*.scope", "cri-containerd-*.scope").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("systemctl: %w: %s", err, out)
	}
	var left []string
	for line := range strings.Lines(string(out)) {
		left = append(left, "unit "+strings.TrimSpace(line))
	}
	return left, nil
}
