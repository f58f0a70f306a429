// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// runcPath is where `make setup` puts the runc that is compared with.
const runcPath = "../../bin/tools/runc"

// differs lists the options whose effect is not runc's, on binds and on new
// filesystems; the package's documentation says why.
var differs = map[string][]string{
	"bind": {"nodiratime", "silent", "loud"},
	"new":  {"rro", "rnosuid", "rnodev", "rnoexec", "rnosymfollow", "rnodiratime", "rnoatime", "rstrictatime"},
}

// Every option, on a bind, a recursive bind and two kinds of new filesystem,
// under every rootfsPropagation, gives the mountinfo that it gives in runc.
func TestOptionsAsRunc(t *testing.T) {
	runc, err := filepath.Abs(runcPath)
	must(t, err)
	if _, err := os.Stat(runc); err != nil {
		testenv.Unavailable(t, "no runc in bin/tools: run make setup")
	}
	isolated(t, func(t *testing.T) {
		testenv.NoLeaks(t)
		must(t, unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""))
		vol := t.TempDir()
		tmpfs(t, vol, unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOATIME)
		tmpfs(t, vol+"/sub", unix.MS_NOEXEC)
		propagations := []string{"", "rprivate", "private", "rslave", "slave", "rshared", "shared", "unbindable"}
		if testenv.InVM() && !testenv.Full() {
			propagations = []string{"", "rshared"} // what the other kernel does with the options; 3 seconds each
		}
		for _, p := range propagations {
			c := bundle(t, optionTable(vol)...)
			c.Spec.Linux.RootfsPropagation = p
			c.Spec.Linux.MaskedPaths = nil // the device differs
			want := runcMounts(t, runc, c)
			got := lines(start(t, c).run("cat /proc/self/mountinfo"))
			if len(want) < 100 {
				t.Errorf("%q: runc made %d mounts", p, len(want))
			}
			for at, w := range want {
				if got[at] != w {
					t.Errorf("rootfsPropagation %q: %s\nmini %s\nrunc %s", p, at, got[at], w)
				}
			}
			if len(got) != len(want) {
				t.Errorf("rootfsPropagation %q: %d mounts, runc %d", p, len(got), len(want))
			}
		}
	})
}

// optionTable has a mount for each option and kind.
func optionTable(vol string) []specs.Mount {
	var table []specs.Mount
	for _, o := range OptionNames() {
		if slices.Contains([]string{"bind", "rbind", "remount", "tmpcopyup", "defaults", "idmap", "ridmap"}, o) {
			continue
		}
		if !slices.Contains(differs["bind"], o) {
			table = append(
				table,
				bind(vol, "/bind-"+o, o),
				bind(vol, "/rbind-"+o, "rbind", o),
				bind(vol, "/ro-"+o, "rbind", "ro", "nodev", o),
			)
		}
		if !slices.Contains(differs["new"], o) {
			table = append(table, typed("tmpfs", "/tmpfs-"+o, o), typed("ramfs", "/ramfs-"+o, o))
		}
	}
	return table
}

// runcMounts is the mountinfo that a container of runc sees.
func runcMounts(t *testing.T, runc string, c *Config) map[string]string {
	t.Helper()
	spec, l := *c.Spec, *c.Spec.Linux
	spec.Version = "1.2.0"
	spec.Process = &specs.Process{Args: []string{"cat", "/proc/self/mountinfo"}, Env: []string{"PATH=/bin"}, Cwd: "/"}
	for _, ns := range []specs.LinuxNamespaceType{"pid", "mount", "ipc", "uts", "network", "cgroup"} {
		l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: ns})
	}
	spec.Linux = &l
	text, err := json.Marshal(&spec)
	must(t, err)
	dir, state := t.TempDir(), t.TempDir()
	write(t, dir+"/config.json", string(text))
	out, err := exec.Command(runc, "--root", state, "run", "-b", dir, "mini-test-mount").CombinedOutput()
	if err != nil {
		t.Fatalf("runc: %v\n%s", err, out)
	}
	return lines(string(out))
}

// lines are what mountinfo says of each mount point, without the numbers.
func lines(info string) map[string]string {
	m := map[string]string{}
	for _, line := range strings.Split(info, "\n") {
		head, tail, ok := strings.Cut(line, " - ")
		f := strings.Fields(head)
		if !ok || len(f) < 6 {
			continue
		}
		var tags []string
		for _, tag := range f[6:] {
			kind, _, _ := strings.Cut(tag, ":")
			tags = append(tags, kind)
		}
		m[f[4]] += strings.Join([]string{f[3], f[5], strings.Join(tags, "+"), tail}, " ") + "\n"
	}
	return m
}
