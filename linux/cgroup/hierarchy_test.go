// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

const v1Only = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
`

func TestFindTheMount(t *testing.T) {
	for name, c := range map[string]struct {
		mountinfo string
		want      mount
		err       error
	}{
		"unified": {
			"30 23 0:26 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n",
			mount{"/sys/fs/cgroup", "/"},
			nil,
		},
		"hybrid": {
			v1Only + "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
			mount{"/sys/fs/cgroup/unified", "/"},
			nil,
		},
		"v1":      {v1Only, mount{}, errdefs.ErrNotImplemented},
		"empty":   {"", mount{}, errdefs.ErrNotImplemented},
		"escapes": {`30 23 0:26 /a\040b /mnt/c\134d rw - cgroup2 none rw` + "\n", mount{`/mnt/c\d`, "/a b"}, nil},
		"a bind mount in a container": {
			"30 23 0:26 /docker/abc /sys/fs/cgroup ro,relatime master:1 propagate_from:2 - cgroup2 cgroup rw\n",
			mount{"/sys/fs/cgroup", "/docker/abc"},
			nil,
		},
		"a source called cgroup2": {"30 23 0:26 / /mnt rw - tmpfs cgroup2 rw\n", mount{}, errdefs.ErrNotImplemented},
		"a long line before it": {
			"29 23 0:25 / /o rw - overlay overlay rw,lowerdir=" + strings.Repeat("/l", 40000) +
				"\n30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
			mount{"/sys/fs/cgroup", "/"},
			nil,
		},
	} {
		got, err := find(strings.NewReader(c.mountinfo), "")
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %+v, %v; want %+v, %v", name, got, err, c.want, c.err)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add(v1Only + "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n")
	f.Add("1 2 - cgroup2 ")
	f.Fuzz(func(t *testing.T, mountinfo string) {
		if m, err := find(strings.NewReader(mountinfo), ""); err == nil && (m.point == "" || m.root == "") {
			t.Errorf("%+v without an error", m)
		}
	})
}

func TestOwnCgroup(t *testing.T) {
	const hybrid = "9:name=systemd:/x\n2:cpuacct:/\n0::/system.slice/containerd.service\n"
	for _, c := range []struct{ data, root, want string }{
		{hybrid, "/", "/system.slice/containerd.service"},
		{hybrid, "/system.slice", "/containerd.service"},
		{hybrid, "/system", "/system.slice/containerd.service"},
		{hybrid, "/system.slice/containerd.service", "/"},
		{"0::/\n", "/", "/"},
		{"0::/a (deleted)\n", "/", "/a"},
	} {
		got, err := parseProcCgroup(c.data)
		if err != nil || below(c.root, got) != c.want {
			t.Errorf("%q below %q: %q, %v; want %q", c.data, c.root, below(c.root, got), err, c.want)
		}
	}
	if _, err := parseProcCgroup("1:cpu:/\n"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("without a cgroup2 line: %v", err)
	}
}

func TestHierarchyOfThisMachine(t *testing.T) {
	h := openHierarchy(t)
	if h.Unified != (h.Mountpoint == "/sys/fs/cgroup") || !path.IsAbs(h.Mountpoint) {
		t.Errorf("mounted at %q, unified %v", h.Mountpoint, h.Unified)
	}
	got, err := h.Path("", "c1")
	if err != nil || path.Base(got) != "c1" {
		t.Errorf("a path beside the test: %q, %v", got, err)
	}
}
