// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/sys"
)

// hostID is what the ids of a test's user namespace start at on the host.
const hostID = 100000

// container is a test's container: a process in namespaces of its own, whose
// root is what a Set makes it.
type container struct {
	t    *testing.T
	set  *Set
	cmd  *exec.Cmd
	pid  *os.File // pidfd
	sock int
}

// isolated runs body as root of an own copy of the host's mounts.
// oneByOne hands the mounts out as Set.Mount takes them.
func oneByOne(files []*os.File) func() (*os.File, error) {
	return func() (*os.File, error) {
		if len(files) == 0 {
			return nil, errors.New("no more superblocks")
		}
		f := files[0]
		files = files[1:]
		return f, nil
	}
}

func isolated(t *testing.T, body func(t *testing.T)) {
	testenv.Root(t)
	testenv.Subprocess(t, unix.CLONE_NEWNS, body)
}

// bundle makes a bundle whose rootfs is a busybox, and a Config for it with
// containerd's default mounts.
func bundle(t *testing.T, mounts ...specs.Mount) *Config {
	t.Helper()
	rootfs := testenv.Rootfs(t)
	spec := defaultSpec()
	spec.Root.Path = rootfs
	spec.Mounts = append(spec.Mounts, mounts...)
	return &Config{Spec: spec, Bundle: filepath.Dir(rootfs), RootPath: rootfs, OwnNetNS: true, OwnCgroupNS: true}
}

// start makes the container of c, and fails the test when that fails.
func start(t *testing.T, c *Config) *container {
	t.Helper()
	k, err := create(t, c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// create makes the container of c as the linux package does.
func create(t *testing.T, c *Config) (*container, error) {
	t.Helper()
	k, err := begin(t, c)
	if err != nil {
		return nil, err
	}
	return k, k.attach(nil)
}

// begin is create up to where the child waits to make superblocks.
func begin(t *testing.T, c *Config) (*container, error) {
	t.Helper()
	set, err := Prepare(c)
	if err != nil {
		return nil, err
	}
	k := &container{t: t, set: set}
	t.Cleanup(func() {
		if err := errors.Join(set.Close(), set.Undo()); err != nil {
			t.Error(err)
		}
	})
	k.fork(c)
	return k, nil
}

func (k *container) fork(c *Config) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	end := os.NewFile(uintptr(pair[1]), "socket")
	defer end.Close()
	pidfd := -1
	k.sock = pair[0]
	k.cmd = exec.Command("/proc/self/exe")
	k.cmd.Env = append(os.Environ(), childEnv+"=1")
	k.cmd.ExtraFiles = []*os.File{end}
	k.cmd.Stderr = os.Stderr
	attr := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		PidFD:      &pidfd,
	}
	if c.OwnNetNS {
		attr.Cloneflags |= unix.CLONE_NEWNET
	}
	if c.OwnCgroupNS {
		attr.Cloneflags |= unix.CLONE_NEWCGROUP
	}
	if c.UserNS {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: hostID, Size: 65536}}
		attr.UidMappings, attr.GidMappings = ids, ids
		attr.GidMappingsEnableSetgroups = true
		attr.Credential = &syscall.Credential{}
	}
	k.cmd.SysProcAttr = attr
	if err := k.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.pid = os.NewFile(uintptr(pidfd), "pidfd")
	k.t.Cleanup(k.end)
}

func (k *container) end() {
	unix.Close(k.sock)
	if err := k.cmd.Wait(); err != nil {
		k.t.Errorf("child: %v", err)
	}
	k.pid.Close()
}

// attach does the thread's part. between runs before Enter, on the thread.
func (k *container) attach(between func() error) error {
	return sys.OnThread(func() error {
		if err := sys.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		if err := sys.Setns(k.pid, unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := k.set.Begin(); err != nil {
			return err
		}
		supers, err := k.superblocks()
		if err != nil {
			return err
		}
		defer func() {
			for _, f := range supers {
				f.Close()
			}
		}()
		if err := k.set.Mount(oneByOne(supers)); err != nil {
			return err
		}
		if between != nil {
			if err := between(); err != nil {
				return err
			}
		}
		return k.set.Enter()
	})
}

func (k *container) superblocks() ([]*os.File, error) {
	msg, err := json.Marshal(k.set.Superblocks())
	if err != nil {
		return nil, err
	}
	if _, err := unix.Write(k.sock, msg); err != nil {
		return nil, err
	}
	buf, oob := make([]byte, 4096), make([]byte, 4096)
	n, oobn, _, _, err := unix.Recvmsg(k.sock, buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if string(buf[:n]) != "made" {
		return nil, errors.New(string(buf[:n]))
	}
	if oobn == 0 {
		return nil, nil
	}
	cmsgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, err
	}
	fds, err := unix.ParseUnixRights(&cmsgs[0])
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), "superblock"))
	}
	return files, nil
}

// run is the output of a shell script in the container.
func (k *container) run(script string) string {
	k.t.Helper()
	if _, err := unix.Write(k.sock, []byte(script)); err != nil {
		k.t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	n, err := unix.Read(k.sock, buf)
	if err != nil || n == 0 {
		k.t.Fatalf("run %s: %d, %v", script, n, err)
	}
	return strings.TrimSpace(string(buf[:n-1]))
}

// want fails the test unless a script in the container prints exactly that.
func (k *container) want(script, out string) {
	k.t.Helper()
	if got := k.run(script); got != out {
		k.t.Errorf("%s:\ngot  %q\nwant %q", script, got, out)
	}
}

// mounts is the last line of mountinfo for a mount point: its options, optional
// fields, type, source and superblock options.
func (k *container) mountinfo(at string) (options, tags, fstype, source, super string) {
	k.t.Helper()
	info, err := os.ReadFile(filepath.Join("/proc", pidOf(k.cmd), "mountinfo"))
	if err != nil {
		k.t.Fatal(err)
	}
	for _, line := range strings.Split(string(info), "\n") {
		head, tail, _ := strings.Cut(line, " - ")
		f, g := strings.Fields(head), strings.Fields(tail)
		if len(f) > 5 && f[4] == at {
			options, tags = f[5], strings.Join(f[6:], " ")
			fstype, source, super = g[0], g[1], g[2]
		}
	}
	if fstype == "" {
		k.t.Errorf("nothing is mounted on %s:\n%s", at, info)
	}
	return options, tags, fstype, source, super
}

func (k *container) wantMount(at, fstype, options string) {
	k.t.Helper()
	gotOptions, _, gotType, _, _ := k.mountinfo(at)
	if gotOptions != options || gotType != fstype {
		k.t.Errorf("%s: got %s %s, want %s %s", at, gotType, gotOptions, fstype, options)
	}
}
