// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// volume is a directory with a file, a fifo, a socket and a mount below it.
func volume(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(filepath.Dir(dir), 0o755))
	must(syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NODEV|syscall.MS_NOSUID|syscall.MS_NOATIME, "mode=755"))
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	must(os.Mkdir(dir+"/below", 0o755))
	must(syscall.Mount("tmpfs", dir+"/below", "tmpfs", syscall.MS_NOEXEC, "mode=700"))
	must(os.WriteFile(dir+"/file", []byte("text"), 0o640))
	must(syscall.Mkfifo(dir+"/fifo", 0o600))
	must(syscall.Mknod(dir+"/socket", syscall.S_IFSOCK|0o600, 0))
	return dir
}

// oracleTable has a spec for each thing that a spec can ask for.
func oracleTable(vol string) map[string][]oci.SpecOpts {
	umask, one, fileMode, id := uint32(0o27), 1, os.FileMode(0o640), uint32(7)
	list := func(opts ...oci.SpecOpts) []oci.SpecOpts { return opts }
	table := map[string][]oci.SpecOpts{
		"default": nil,
		"user":    list(oci.WithUser("1000:1000"), oci.WithAdditionalGIDs("mini"), process(func(p *specs.Process) { p.User.Umask = &umask })),
		"big ids": list(process(func(p *specs.Process) {
			p.User = specs.User{UID: 1<<31 - 1, GID: 1<<31 - 1, AdditionalGids: []uint32{1<<32 - 2}}
		})),
		"cwd":        list(process(func(p *specs.Process) { p.Cwd = "/home/new/dir" })),
		"no caps":    list(oci.WithCapabilities(nil)),
		"some caps":  list(oci.WithCapabilities([]string{"CAP_CHOWN", "CAP_NET_RAW"}), oci.WithUser("1000"), oci.WithAmbientCapabilities([]string{"CAP_NET_RAW"})),
		"all caps":   list(oci.WithAllCurrentCapabilities),
		"privileged": list(oci.WithPrivileged, oci.WithAllDevicesAllowed),
		"nnp":        list(process(func(p *specs.Process) { p.NoNewPrivileges = false }), oci.WithUser("1000")),
		"oom":        list(process(func(p *specs.Process) { p.OOMScoreAdj = &one })),
		"env":        list(process(func(p *specs.Process) { p.Env = []string{"A=1", "PATH=/bin", "B=", "A=2", "HOME="} })),
		"no env":     list(process(func(p *specs.Process) { p.Env = []string{"PATH=/bin"} })),
		"limits": list(process(func(p *specs.Process) {
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}, {Type: "RLIMIT_STACK", Soft: 1 << 20, Hard: 1 << 30}, {Type: "RLIMIT_RTPRIO", Soft: 3, Hard: 4}}
		})),
		"names": list(oci.WithHostname("name"), spec(func(s *specs.Spec) { s.Domainname = "domain" })),
		"sysctls": list(spec(func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{"kernel.msgmax": "9000", "net.ipv4.ping_group_range": "5 6"}
		})),
		"host pid":  list(hostNamespace(specs.PIDNamespace), mount("tmpfs", "tmpfs", "/tmp")),
		"host ipc":  list(hostNamespace(specs.IPCNamespace)),
		"host net":  list(hostNamespace(specs.NetworkNamespace)),
		"cgroupns":  list(namespace(specs.CgroupNamespace, ""), mount("cgroup", "cgroup", "/sys/fs/cgroup", "ro", "nosuid", "nodev", "noexec")),
		"cgroup rw": list(namespace(specs.CgroupNamespace, ""), mount("cgroup", "cgroup", "/sys/fs/cgroup", "rw")),
		"cgroup":    list(mount("cgroup", "cgroup", "/sys/fs/cgroup", "ro", "nosuid")),
		"timens":    list(namespace(specs.TimeNamespace, ""), spec(func(s *specs.Spec) { s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 5}} })),
		"ro root":   list(oci.WithRootFSReadonly(), mount("tmpfs", "tmpfs", "/tmp", "ro"), bind(vol, "/home")),
		"devices": list(oci.WithAllDevicesAllowed, devices(specs.LinuxDevice{Path: "/dev/net/tun", Type: "c", Major: 10, Minor: 200, FileMode: &fileMode, UID: &id, GID: &id},
			specs.LinuxDevice{Path: "/dev/pipe", Type: "p", FileMode: &fileMode}, specs.LinuxDevice{Path: "/home/disk", Type: "b", Major: 7, Minor: 3})),
		"paths": list(spec(func(s *specs.Spec) {
			s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = []string{"/etc/passwd", "/home", "/proc/acpi"}, []string{"/var", "/proc/sys"}
		})),
		"paths of itself": list(spec(func(s *specs.Spec) {
			s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = []string{"/proc/self/environ", "/proc/net", "/proc/mounts"}, []string{"/proc/self/net/../task", "/proc/thread-self/ns"}
		})),
		"no paths":                         list(spec(func(s *specs.Spec) { s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil })),
		"tmpcopyup":                        list(mount("tmpfs", "tmpfs", "/etc", "tmpcopyup", "nosuid"), mount("tmpfs", "tmpfs", "/home", "tmpcopyup", "ro")),
		"bind kinds":                       list(bind(vol+"/file", "/etc/hosts", "ro"), bind(vol+"/fifo", "/home/fifo"), bind(vol+"/socket", "/home/made/socket"), bind("/dev/zero", "/home/zero"), bind(vol+"/below", "/home/dir")),
		"nested":                           list(bind(vol, "/home/a"), mount("tmpfs", "tmpfs", "/home/a/below"), bind(vol, "/home/a/below/again", "ro"), bind(vol+"/file", "/home/a/below/again/below/x")),
		"remount":                          list(bind(vol, "/home"), mount("none", "", "/home", "bind", "remount", "ro", "noexec")),
		"over proc":                        list(bind(vol+"/file", "/proc/uptime"), bind(vol+"/file", "/proc/meminfo", "ro")),
		"refused":                          list(bind(vol+"/file", "/proc/version")),
		"overlay":                          list(mount("overlay", "overlay", "/home", "lowerdir="+vol+":"+vol+"/below")),
		"user namespace":                   list(userNamespace(100000), mount("tmpfs", "tmpfs", "/tmp"), bind(vol, "/home", "rbind")),
		"user namespace and flags":         list(userNamespace(100000), bind(vol, "/home", "noexec")),
		"user namespace and cleared flags": list(userNamespace(100000), bind(vol, "/home", "dev")),
		"user namespace and user":          list(userNamespace(100000), oci.WithUser("1000:1000")),
	}
	for _, p := range []string{"private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable"} {
		table["rootfs "+p] = list(spec(func(s *specs.Spec) { s.Linux.RootfsPropagation = p }), bind(vol, "/home", "rbind"))
		table["bind "+p] = list(bind(vol, "/home", "rbind", p))
	}
	for _, o := range bindOptions {
		table["bind "+o] = list(bind(vol, "/home", "rbind", o))
	}
	return table
}

// bindOptions are those of binds that have runc's effect (linux/mount says which
// have not, and why).
var bindOptions = []string{
	"ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime", "strictatime", "diratime", "nosymfollow", "symfollow",
	"rro", "rrw", "rnosuid", "rsuid", "rnodev", "rdev", "rnoexec", "rexec", "rnoatime", "ratime", "rrelatime", "rnorelatime", "rstrictatime",
	"rnostrictatime", "rnodiratime", "rdiratime", "rnosymfollow", "rsymfollow",
}
