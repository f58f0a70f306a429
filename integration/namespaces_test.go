// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// namespaceFiles are the kinds of namespaces and their files in /proc/PID/ns.
var namespaceFiles = map[specs.LinuxNamespaceType]string{
	specs.PIDNamespace: "pid", specs.NetworkNamespace: "net", specs.MountNamespace: "mnt", specs.IPCNamespace: "ipc",
	specs.UTSNamespace: "uts", specs.CgroupNamespace: "cgroup", specs.UserNamespace: "user", specs.TimeNamespace: "time",
}

func (h *harness) ns(pid int, file string) string {
	h.Helper()
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, file))
	h.must(err)
	return link
}

// TestNamespacesNewOrInherited: those that the spec lists are new, the others
// are the shim's.
func TestNamespacesNewOrInherited(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		check := func(c *task, listed func(kind specs.LinuxNamespaceType) bool) {
			t.Helper()
			for kind, file := range namespaceFiles {
				own := h.ns(int(c.Pid()), file) != h.ns(c.shim(), file)
				if own != listed(kind) {
					t.Errorf("%s: own %v, want %v", kind, own, listed(kind))
				}
			}
			c.kill()
		}
		none := h.start(forever(), oci.WithHostHostsFile, spec(func(s *specs.Spec) {
			s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}}
			s.Hostname = ""
			s.Mounts = []specs.Mount{{Type: "proc", Source: "proc", Destination: "/proc"}}
			s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil
		}))
		check(none, func(kind specs.LinuxNamespaceType) bool { return kind == specs.MountNamespace })
		all := h.start(forever(), spec(func(s *specs.Spec) {
			s.Linux.Namespaces = nil
			for kind := range namespaceFiles {
				if kind != specs.UserNamespace {
					s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind})
				}
			}
		}))
		check(all, func(kind specs.LinuxNamespaceType) bool { return kind != specs.UserNamespace })
	})
}

func TestJoinedNamespaces(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		first := h.start(forever())
		first.expect("ready")
		kinds := []specs.LinuxNamespaceType{
			specs.PIDNamespace, specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.CgroupNamespace,
		}
		var opts []oci.SpecOpts
		for _, kind := range kinds {
			opts = append(opts, namespace(kind, fmt.Sprintf("/proc/%d/ns/%s", first.Pid(), namespaceFiles[kind])))
		}
		second := h.start(append(opts, forever())...)
		second.expect("ready")
		for _, kind := range kinds {
			h.equal(string(kind), h.ns(int(second.Pid()), namespaceFiles[kind]), h.ns(int(first.Pid()), namespaceFiles[kind]))
		}
		h.eventually(func() error { // a shell that has just forked for its sleep is there twice
			if out, _, _ := second.execs(sh("ps | grep -c 'echo read[y]'")); out != "2\n" {
				return fmt.Errorf("it sees %q processes, not 2", out)
			}
			return nil
		})
		second.kill()
		first.kill()
	})
}

// TestJoinedFromANewUserNamespace: a container with a user namespace of its own joins
// namespaces of the host's, or of another container's, in which it has no rights, as
// Docker's with userns-remap and --network container:NAME does; so does an exec in it.
func TestJoinedFromANewUserNamespace(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		clock := namespace(specs.TimeNamespace, "")
		for name, opts := range map[string][]oci.SpecOpts{"the host's": {clock}, "another container's": {clock, userNamespace(100000)}} {
			first := h.start(append(opts, forever())...)
			first.expect("ready")
			opts := []oci.SpecOpts{userNamespace(200000), forever(), spec(func(s *specs.Spec) {
				s.Hostname = ""
				s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { // they belong to who owns the namespaces
					return slices.Contains([]string{"sysfs", "mqueue", "cgroup"}, m.Type)
				})
			})}
			kinds := []specs.LinuxNamespaceType{specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.CgroupNamespace, specs.TimeNamespace}
			for _, kind := range kinds {
				opts = append(opts, namespace(kind, fmt.Sprintf("/proc/%d/ns/%s", first.Pid(), namespaceFiles[kind])))
			}
			second := h.start(opts...)
			second.expect("ready")
			exec := second.exec(sh("read x"))
			h.must(exec.Start(h.ctx))
			for _, kind := range kinds {
				want := h.ns(int(first.Pid()), namespaceFiles[kind])
				h.equal(name+" "+string(kind), h.ns(int(second.Pid()), namespaceFiles[kind]), want)
				h.equal(name+" "+string(kind)+" of an exec", h.ns(int(exec.Pid()), namespaceFiles[kind]), want)
			}
			for what, pid := range map[string]uint32{"init": second.Pid(), "exec": exec.Pid()} {
				ids, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", pid))
				h.must(err)
				h.equal(name+": ids of "+what, strings.Join(strings.Fields(string(ids)), " "), "0 200000 65536")
			}
			second.kill()
			first.kill()
		}
	})
}

func TestNamespaceOfTheWrongType(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for what, path := range map[string]string{
			"of another type": "/proc/self/ns/net", "no namespace": "/etc/passwd", "not there": "/no/such/ns",
		} {
			_, err := h.container(sh("echo"), namespace(specs.IPCNamespace, strings.Replace(path, "self", fmt.Sprint(os.Getpid()), 1))).
				NewTask(h.ctx, cio.NullIO)
			if err == nil {
				t.Errorf("%s: it starts", what)
			}
		}
	})
}

func TestFirstProcessOfAPIDNamespace(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.equal("stdout", h.prints("set -- /proc/[0-9]*; echo $$ $#"), "1 1")
	})
}

func TestLoopbackIsUp(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.prints("ip -o link | cut -d' ' -f2; ip addr show lo | grep -c 127.0.0.1; ping -c1 -W2 127.0.0.1 >/dev/null && echo up")
		h.equal("stdout", out, "lo:\n1\nup")
	})
}

func TestHostname(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.prints("hostname; cat /proc/sys/kernel/domainname", oci.WithHostname("a-name"),
			spec(func(s *specs.Spec) { s.Domainname = "a-domain" }))
		h.equal("stdout", out, "a-name\na-domain")
		name, err := os.Hostname()
		h.must(err)
		if name == "a-name" {
			t.Error("the host has the name")
		}
	})
}

func TestTimeOffsets(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		out := h.prints("cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets | tr -s ' '", namespace(specs.TimeNamespace, ""),
			spec(func(s *specs.Spec) {
				s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{
					"boottime": {Secs: 1_000_000}, "monotonic": {Secs: 2_000_000, Nanosecs: 5},
				}
			}))
		lines := strings.Split(out, "\n")
		if len(lines) != 3 || len(lines[0]) < 7 {
			t.Fatalf("stdout %q", out)
		}
		h.equal("monotonic", strings.Join(strings.Fields(lines[1]), " "), "monotonic 2000000 5")
		h.equal("boottime", strings.Join(strings.Fields(lines[2]), " "), "boottime 1000000 0")
	})
}

// userNamespace maps the container's root to a host id; the rootfs below is a
// tmpfs that belongs to it.
func userNamespace(id uint32) oci.SpecOpts {
	mapping := []specs.LinuxIDMapping{{ContainerID: 0, HostID: id, Size: 65536}}
	return oci.WithUserNamespace(mapping, mapping)
}

func TestUserNamespace(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		const id = 100000
		script := `id -u; cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; stat -c '%u:%g' /proc/self/mountinfo
			mkdir /tmp/made && stat -c %u /tmp/made; hostname changed && hostname; cat /proc/self/setgroups; id -G
			test -c /dev/null && echo x >/dev/null && echo null`
		c := h.start(userNamespace(id), mount("tmpfs", "tmpfs", "/tmp"), sh(script+"; echo ready; read x"),
			oci.WithAddedCapabilities([]string{"CAP_SYS_ADMIN"}), oci.WithAdditionalGIDs("root"))
		c.expect("ready")
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Pid()))
		h.must(err)
		if want := fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", id); !strings.Contains(string(status), want) {
			t.Errorf("no %q in:\n%s", want, status)
		}
		out, errs, code := c.execs(sh("id -u; cat /proc/self/uid_map | tr -s ' '"))
		if out != "0\n 0 100000 65536\n" {
			t.Errorf("exec: %q, %q, exit code %d", out, errs, code)
		}
		c.kill()
		h.equal("stdout", c.out.String(), "0\n 0 100000 65536\n 0 100000 65536\n0:0\n0\nchanged\nallow\n0\nnull\nready\n")
	})
}

// TestOwnUserNamespace: a path that leads to the shim's own is nothing to join. runc
// fails.
func TestOwnUserNamespace(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		task := h.start(forever(), namespace(specs.UserNamespace, "/proc/1/ns/user"), hookScript("createContainer", "true"))
		task.expect("ready")
		if out, errs, code := task.execs(sh("id -u")); out != "0\n" || code != 0 {
			t.Errorf("exec: exit code %d, %q, %q", code, out, errs)
		}
		task.kill()
	})
}

// TestUnmappedIDs are refused at Create, and by an exec.
func TestUnmappedIDs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for name, u := range map[string]specs.User{"uid": {UID: 70000}, "gid": {GID: 70000}, "group": {AdditionalGids: []uint32{70000}}} {
			opt := process(func(p *specs.Process) { p.User = u })
			if _, err := h.container(userNamespace(100000), opt, sh("true")).NewTask(h.ctx, cio.NullIO); err == nil {
				t.Errorf("%s: it is created", name)
			}
			task := h.start(userNamespace(100000), forever())
			task.expect("ready")
			e := task.exec(opt, sh("true"))
			if err := e.Start(h.ctx); err == nil {
				t.Errorf("%s: exec is started", name)
			}
			task.kill()
		}
	})
}

// TestTimeOffsetsOfExecs: an exec is in the container's time namespace, in one with
// a user namespace too; a negative offset turns a clock back.
func TestTimeOffsetsOfExecs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		uptime, err := os.ReadFile("/proc/uptime")
		h.must(err)
		seconds, _, _ := strings.Cut(string(uptime), ".")
		up, err := strconv.ParseInt(seconds, 10, 64)
		h.must(err)
		task := h.start(forever(), namespace(specs.TimeNamespace, ""), userNamespace(100000), spec(func(s *specs.Spec) {
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: -up + 5}}
		}))
		task.expect("ready")
		out, errs, _ := task.execs(sh("cut -d. -f1 /proc/uptime"))
		if n, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64); err != nil || n < 5 || n > 100 {
			t.Errorf("up for %q s, %q", out, errs)
		}
		task.kill()
	})
}
