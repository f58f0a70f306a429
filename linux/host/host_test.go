// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func TestCheckRelease(t *testing.T) {
	for release, ok := range map[string]bool{
		"5.13.19-arch1": false, "4.18.0-553.el8": false, "5.14.0": true, "5.15.0-rc1+": true,
		"6.1": true, "10.0.0": true, "unknown": true,
	} {
		err := checkRelease(release)
		if (err == nil) != ok {
			t.Errorf("%s: %v", release, err)
		}
		if err != nil && !strings.Contains(err.Error(), release+" is too old: mini needs 5.14 or later") {
			t.Errorf("%s: %v", release, err)
		}
	}
}

func TestCgroupMounts(t *testing.T) {
	const mountinfo = `25 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 25 0:26 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw
31 25 0:27 / /sys/fs/cgroup/my\040cpu\134 rw shared:4 master:1 - cgroup cgroup rw,cpu
32 25 0:27 /docker/x /mnt rw - cgroup cgroup rw,cpu
33 25 0:28 / /proc rw - proc proc rw
broken line
`
	want := []string{"/sys/fs/cgroup/unified", `/sys/fs/cgroup/my cpu\`}
	if got := cgroupMounts(mountinfo); !slices.Equal(got, want) {
		t.Errorf("cgroupMounts = %q, want %q", got, want)
	}
}

func TestJoinCgroupRefusesToLeave(t *testing.T) {
	for _, path := range []string{"/../..", "..", "/a/../../b"} {
		if err := JoinCgroup(path); !errors.Is(err, unix.EINVAL) {
			t.Errorf("JoinCgroup(%q) = %v", path, err)
		}
	}
}

func TestSplit(t *testing.T) {
	for path, want := range map[string][2]string{"/a/b": {"/a", "b"}, "/a": {"/", "a"}, "a": {".", "a"}, "/a/": {"/a", ""}} {
		if dir, name := split(path); dir != want[0] || name != want[1] {
			t.Errorf("split(%q) = %q, %q", path, dir, name)
		}
	}
}

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "s")
	fd, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { unix.Close(fd) }()
	if again, err := Listen(path); !errors.Is(err, ErrInUse) {
		unix.Close(again)
		t.Errorf("Listen on a live socket: %v", err)
	}
	if err := RemoveDead(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("RemoveDead took a live socket: %v", err)
	}
	unix.Close(fd)
	if fd, err = Listen(path); err != nil {
		t.Fatalf("Listen on a dead socket: %v", err)
	}
	unix.Close(fd)
	if err := RemoveDead(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("RemoveDead left a dead socket: %v", err)
	}
	for _, missing := range []string{path, filepath.Join(path, "no", "dir")} {
		if err := RemoveDead(missing); err != nil {
			t.Errorf("RemoveDead(%s) = %v", missing, err)
		}
	}
	fd = -1
}

// A socket that is bound and not yet listened on looks dead; the lock keeps the
// two apart.
func TestListenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	type result struct {
		fd  int
		err error
	}
	results := make(chan result)
	const n = 16
	for range n {
		go func() {
			fd, err := Listen(path)
			results <- result{fd, err}
		}()
	}
	winners := 0
	for range n {
		r := <-results
		switch {
		case r.err == nil:
			winners++
			defer unix.Close(r.fd)
		case !errors.Is(r.err, ErrInUse):
			t.Error(r.err)
		}
	}
	if winners != 1 {
		t.Errorf("%d listen on one path", winners)
	}
}

func TestListenOnFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	// connect(2) refuses what is no socket with the same error as a dead one.
	if fd, err := Listen(path); !errors.Is(err, unix.ENOTSOCK) {
		unix.Close(fd)
		t.Errorf("Listen: %v, want ENOTSOCK", err)
	}
	data, err := os.ReadFile(path)
	if err != nil || string(data) != "mine" {
		t.Errorf("the file holds %q, %v", data, err)
	}
}

func TestCheckPeer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := CheckPeer(s.(*net.UnixConn)); err != nil {
		t.Errorf("CheckPeer of ourselves: %v", err)
	}
}

// Without CAP_SYS_ADMIN the image is a sealed copy; with it, a mount.
func TestSealMemfd(t *testing.T) {
	image, err := sealMemfd()
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	if f, err := os.OpenFile(image.Path(), os.O_WRONLY, 0); err == nil {
		_, err = f.Write([]byte("x"))
		f.Close()
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("write to the image: %v, want EPERM", err)
		}
	}
	want, err := os.ReadFile(selfExe)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(image.Path())
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the copy has %d bytes of %d: %v", len(got), len(want), err)
	}
	pid, err := syscall.ForkExec(image.Path(), []string{"x", "-test.run=^$"}, &syscall.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 0 {
		t.Errorf("running the copy: %v, status %d", err, status)
	}
}

func TestSealMount(t *testing.T) {
	testenv.Root(t)
	image, err := sealMount()
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	exe, err := os.Readlink(selfExe)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(image.Path()) != filepath.Base(exe) {
		t.Errorf("the image is %s", image.Path())
	}
	if f, err := os.OpenFile(image.Path(), os.O_WRONLY, 0); !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.ETXTBSY) {
		f.Close()
		t.Errorf("open the image for writing: %v", err)
	}
	// The directory does not show the program where something is mounted on it.
	if i, err := sealInDir("/proc/self/exe/x"); err == nil {
		i.Close()
		t.Error("sealInDir found a program in a file")
	}
	if i, err := sealInDir("/etc/passwd"); !errors.Is(err, unix.ESTALE) {
		i.Close()
		t.Errorf("sealInDir of another file: %v, want ESTALE", err)
	}
}

func TestOpenLog(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenLog(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no fifo: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if fd, err := OpenLog(file); !errors.Is(err, unix.EINVAL) {
		unix.Close(fd)
		t.Errorf("a file: %v", err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := OpenLog(fifo)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	// More than a pipe holds, with nobody to read: the beginning stays.
	line := bytes.Repeat([]byte("0123456789abcde\n"), 256)
	for range 100 {
		if n, err := Log(fd).Write(line); n != len(line) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	r, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := make([]byte, len(line))
	if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, line) {
		t.Errorf("read %q, %v", got[:32], err)
	}
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	w, err := NewWatch()
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan error)
	go func() {
		for {
			err := w.Wait()
			events <- err
			if err != nil {
				return
			}
		}
	}()
	file := filepath.Join(dir, "f")
	open, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close() // an open file must not hide its removal
	if err := w.Add(file); err != nil {
		t.Fatal(err)
	}
	if err := w.Add(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Add of nothing: %v", err)
	}
	if _, err := open.WriteString("a write is no event"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-events:
		t.Errorf("event without one: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := <-events; err != nil {
		t.Errorf("Wait = %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-events; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Wait after Close = %v", err)
	}
}

func TestFollowParentOOMScore(t *testing.T) {
	testenv.Subprocess(t, 0, func(t *testing.T) {
		want, err := oomScore(os.Getppid())
		if err != nil {
			t.Fatal(err)
		}
		if err := FollowParentOOMScore(); err != nil {
			t.Fatal(err)
		}
		if got, err := oomScore(os.Getpid()); got != min(want+1, maxOOMScore) {
			t.Errorf("score %d, %v; parent's %d", got, err, want)
		}
	})
}

func TestNewCoreCookie(t *testing.T) {
	testenv.Subprocess(t, 0, func(t *testing.T) {
		if err := syscall.Setpgid(0, 0); err != nil {
			t.Fatal(err)
		}
		err := NewCoreCookie()
		// ENODEV: no simultaneous multithreading; EINVAL: not built in.
		if err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
	})
}

func TestFileMappings(t *testing.T) {
	const maps = `00400000-00402000 r-xp 00000000 08:02 173521      /usr/bin/my shim
00651000-00652000 r--p 00051000 08:02 173521                    /usr/bin/my shim
00652000-00655000 rw-p 00052000 08:02 173521                    /usr/bin/my shim
00e03000-00e24000 rw-p 00000000 00:00 0                         [heap]
35b1800000-35b1820000 r-xp 00000000 08:02 135522                /usr/lib64/ld-2.15.so
7ffff7fc0000-7ffff7fc1000 r--p 00000000 00:00 0 
`
	want := [][2]uintptr{{0x400000, 0x402000}, {0x651000, 0x652000}}
	if got := fileMappings(maps, "/usr/bin/my shim"); !slices.Equal(got, want) {
		t.Errorf("fileMappings = %x, want %x", got, want)
	}
}

func TestReleaseImage(t *testing.T) {
	testenv.Subprocess(t, 0, func(t *testing.T) {
		before, err := fileRSS()
		if err != nil {
			t.Fatal(err)
		}
		if err := ReleaseImage(); err != nil {
			t.Fatal(err)
		}
		after, err := fileRSS()
		if err != nil {
			t.Fatal(err)
		}
		if after >= before {
			t.Errorf("%d kB of the file are resident, before %d kB", after, before)
		}
	})
}

// fileRSS is RssFile of this process in kB.
func fileRSS() (kb int, err error) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, text, _ := strings.Cut(string(data), "RssFile:")
	return strconv.Atoi(strings.Fields(text)[0])
}

// A daemon gets its four descriptors whatever numbers they have here.
func TestDaemonStart(t *testing.T) {
	testenv.Root(t)
	testenv.Subprocess(t, 0, func(t *testing.T) {
		image, err := Seal()
		if err != nil {
			t.Fatal(err)
		}
		// The lowest numbers, where the daemon's own will be.
		unix.Close(0)
		low, err := unix.FcntlInt(uintptr(image.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil || low != 0 {
			t.Fatalf("descriptor %d, %v", low, err)
		}
		fd, err := Listen(filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		d := Daemon{Image: Image{fd: low, name: image.name}, Args: []string{"daemon", "-test.run=^$"}, Log: "none", Socket: fd}
		pid, err := d.Start()
		if err != nil {
			t.Fatal(err)
		}
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 0 {
			t.Errorf("the daemon: %v, status %d", err, status.ExitStatus())
		}
	})
}
