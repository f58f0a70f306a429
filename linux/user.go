// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// idMap maps ids of a user namespace to the host's.
type idMap []specs.LinuxIDMapping

// host is the host's id for id; false when the map leaves it out. An empty map
// is the host itself.
func (m idMap) host(id uint32) (uint32, bool) {
	if len(m) == 0 {
		return id, true
	}
	for _, e := range m {
		if id >= e.ContainerID && uint64(id) < uint64(e.ContainerID)+uint64(e.Size) {
			return e.HostID + (id - e.ContainerID), true
		}
	}
	return 0, false
}

// text is the map as /proc/PID/uid_map takes it (user_namespaces(7)).
func (m idMap) text() string {
	var b strings.Builder
	for _, e := range m {
		b.WriteString(strconv.FormatUint(uint64(e.ContainerID), 10) + " " +
			strconv.FormatUint(uint64(e.HostID), 10) + " " +
			strconv.FormatUint(uint64(e.Size), 10) + "\n")
	}
	return b.String()
}

// parseIDMap reads a uid_map or gid_map file.
func parseIDMap(b []byte) (m idMap) {
	for line := range bytes.Lines(b) {
		var n [3]uint64
		f := bytes.Fields(line)
		if len(f) != 3 {
			continue
		}
		for i := range n {
			n[i], _ = strconv.ParseUint(string(f[i]), 10, 32) // the kernel's own text
		}
		m = append(m, specs.LinuxIDMapping{ContainerID: uint32(n[0]), HostID: uint32(n[1]), Size: uint32(n[2])})
	}
	return m
}

// maxPasswd bounds what is read of a container's /etc/passwd, in bytes.
const maxPasswd = 1 << 20

// homeOf is the home directory of uid in the container's /etc/passwd, "/" when
// there is none, as runc gives it. root is the container's root directory; the
// file is looked up below it, without magic links.
func homeOf(root *os.File, uid uint32) string {
	f, err := openRegular(root, "etc/passwd")
	if err != nil {
		return "/"
	}
	defer f.Close()
	return findHome(io.LimitReader(f, maxPasswd), uid)
}

// openRegular opens a file of the container to read, but only one that holds
// something: to open a device can do something (a watchdog starts), and so can to
// read what a kernel's filesystem makes up (/proc/kmsg), whose files have no size.
// The shim has rights to both that the container has not.
func openRegular(root *os.File, path string) (*os.File, error) {
	fd := -1
	err := sys.Control(root, func(dir int) (err error) {
		fd, err = sys.OpenInRoot(dir, path, unix.O_PATH, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer sys.Close(fd)
	st, err := sys.Stat(fd)
	if err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size == 0 {
		return nil, &os.PathError{Op: "open", Path: path, Err: unix.EINVAL}
	}
	return sys.OpenProcLink("self/fd", strconv.Itoa(fd), os.O_RDONLY|unix.O_NONBLOCK)
}

func findHome(passwd io.Reader, uid uint32) string {
	want := strconv.FormatUint(uint64(uid), 10)
	s := bufio.NewScanner(passwd)
	for s.Scan() {
		// name:password:uid:gid:comment:home:shell, passwd(5)
		f := strings.Split(s.Text(), ":")
		if len(f) >= 6 && f[2] == want && f[5] != "" {
			return f[5]
		}
	}
	return "/"
}
