// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/containerd/containerd/v2/client"
	coremount "github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/oci"
)

// fuseFS shows a directory through FUSE, read-only, until it is told to hang: then
// it takes every request and answers none, so that who waits for one cannot even
// be killed. The protocol is that of linux/fuse.h, version 7.31.
type fuseFS struct {
	mount string
	dev   *os.File
	hung  atomic.Bool
	last  string        // hangs when a file of this name is looked up; set before anybody looks
	opens atomic.Bool   // hangs once a file has been opened
	done  chan struct{} // closed when the server has ended

	mu    sync.Mutex
	paths []string // guarded by mu; by node id, of which 1 is the root
}

// Operations of FUSE that are answered; others get ENOSYS.
const (
	fuseLookup, fuseForget, fuseGetattr, fuseReadlink, fuseOpen, fuseRead = 1, 2, 3, 5, 14, 15
	fuseStatfs, fuseRelease, fuseFlush, fuseInit, fuseOpendir             = 17, 18, 25, 26, 27
	fuseReaddir, fuseReleasedir, fuseInterrupt, fuseBatchForget           = 28, 29, 36, 42
)

// fuseHeader is struct fuse_in_header.
type fuseHeader struct {
	Len, Opcode   uint32
	Unique, Node  uint64
	UID, GID, PID uint32
	_             uint32
}

// fuseAttr is struct fuse_attr.
type fuseAttr struct {
	Ino, Size, Blocks, Atime, Mtime, Ctime          uint64
	AtimeNsec, MtimeNsec, CtimeNsec                 uint32
	Mode, Nlink, UID, GID, Rdev, BlockSize, Padding uint32
}

// fuse mounts a FUSE file system that shows dir. It is aborted at the end of the
// test, before anything is looked for that was left.
func (h *harness) fuse(dir string) *fuseFS {
	h.Helper()
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	h.must(err)
	f := &fuseFS{mount: filepath.Join(h.d.Dir, "fuse-"+h.newID()), dev: dev, done: make(chan struct{}), paths: []string{"", dir}}
	h.must(os.Mkdir(f.mount, 0o755))
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", dev.Fd())
	h.must(syscall.Mount("mini.test", f.mount, "fuse.mini", syscall.MS_NOSUID|syscall.MS_NODEV, options))
	go f.serve()
	h.Cleanup(func() {
		f.abort()
		if err := os.Remove(f.mount); err != nil {
			h.Error(err)
		}
	})
	return f
}

// rootfs makes the file system the root of a container.
func (f *fuseFS) rootfs() client.NewTaskOpts {
	return client.WithRootFS([]coremount.Mount{{Type: "bind", Source: f.mount, Options: []string{"rbind", "ro"}}})
}

// startOn starts a container whose root is fs and that does nothing.
func (h *harness) startOn(fs *fuseFS, opts ...oci.SpecOpts) *task {
	h.Helper()
	t, err := h.tryCreate(h.container(append(opts, oci.WithProcessArgs("sleep", "1000000"))...), fs.rootfs())
	h.must(err)
	h.must(t.Start(h.ctx))
	return t
}

// abort ends the connection: all who wait get an error.
func (f *fuseFS) abort() {
	_ = syscall.Unmount(f.mount, syscall.MNT_FORCE|syscall.MNT_DETACH) // again is no error
	<-f.done
}

func (f *fuseFS) serve() {
	defer close(f.done)
	defer f.dev.Close()
	buf := make([]byte, 1<<20)
	for {
		n, err := syscall.Read(int(f.dev.Fd()), buf)
		switch {
		case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOENT):
			continue // ENOENT: the request was taken back
		case err != nil: // ENODEV: aborted
			return
		}
		h := (*fuseHeader)(unsafe.Pointer(&buf[0]))
		if name := buf[unsafe.Sizeof(*h):n]; h.Opcode == fuseLookup && f.last != "" && string(name) == f.last+"\x00" {
			f.hung.Store(true)
		}
		if f.hung.Load() && h.Opcode != fuseInit {
			continue
		}
		if h.Opcode == fuseForget || h.Opcode == fuseBatchForget || h.Opcode == fuseInterrupt {
			continue // there is no answer to these
		}
		body, errno := f.answer(h, buf[unsafe.Sizeof(*h):n])
		out := binary.NativeEndian.AppendUint32(nil, uint32(16+len(body)))
		out = binary.NativeEndian.AppendUint32(out, uint32(-int32(errno)))
		out = binary.NativeEndian.AppendUint64(out, h.Unique)
		if h.Opcode == fuseOpen && f.opens.Load() {
			f.hung.Store(true)
		}
		_, _ = syscall.Write(int(f.dev.Fd()), append(out, body...)) // the asker may be gone
	}
}

func (f *fuseFS) answer(h *fuseHeader, arg []byte) ([]byte, syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := f.paths[h.Node]
	u32, u64 := binary.NativeEndian.AppendUint32, binary.NativeEndian.AppendUint64
	switch h.Opcode {
	case fuseInit:
		out := u32(u32(nil, 7), 31)
		out = u32(u32(out, 1<<16), 0)        // read-ahead, no flags
		out = u32(u32(out, 12<<16|10), 4096) // background, largest write
		return append(out, make([]byte, 64-len(out))...), 0
	case fuseLookup:
		child := filepath.Join(path, string(arg[:len(arg)-1]))
		attr, errno := stat(child)
		if errno != 0 {
			return nil, errno
		}
		node := slices.Index(f.paths, child) // another would tell the kernel that it was replaced
		if node < 0 {
			node = len(f.paths)
			f.paths = append(f.paths, child)
		}
		out := u64(u64(nil, uint64(node)), 0)
		return append(append(out, make([]byte, 24)...), attr...), 0 // valid for no time
	case fuseGetattr:
		attr, errno := stat(path)
		return append(make([]byte, 16), attr...), errno
	case fuseReadlink:
		to, err := os.Readlink(path)
		return []byte(to), errnoOf(err)
	case fuseOpen, fuseOpendir:
		return make([]byte, 16), 0
	case fuseRead:
		file, err := os.Open(path)
		if err != nil {
			return nil, errnoOf(err)
		}
		defer file.Close()
		data := make([]byte, binary.NativeEndian.Uint32(arg[16:]))
		n, _ := file.ReadAt(data, int64(binary.NativeEndian.Uint64(arg[8:]))) // fewer is the end
		return data[:n], 0
	case fuseReaddir:
		return nil, 0
	case fuseStatfs:
		return make([]byte, 80), 0
	case fuseRelease, fuseReleasedir, fuseFlush:
		return nil, 0
	}
	return nil, syscall.ENOSYS
}

// stat is a file's struct fuse_attr.
func stat(path string) ([]byte, syscall.Errno) {
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		return nil, errnoOf(err)
	}
	a := fuseAttr{
		Ino: st.Ino, Size: uint64(st.Size), Blocks: uint64(st.Blocks), Mtime: uint64(st.Mtim.Sec),
		Mode: st.Mode, Nlink: uint32(st.Nlink), UID: st.Uid, GID: st.Gid, BlockSize: 4096,
	}
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&a)), unsafe.Sizeof(a))...), 0
}

func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		return syscall.EIO
	}
	return errno
}
