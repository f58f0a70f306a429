// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Files of an image directory besides criu's own.
const (
	// streamsFile lists what init's standard streams were called, as in runc.
	streamsFile = "descriptors.json"
	// parentLink leads to the directory of the dump that this one adds to.
	parentLink = "parent"
)

// maxStreams bounds streamsFile, which holds three names.
const maxStreams = 4096

// imageDir is a directory of checkpoint images. Whoever filled it is not trusted:
// criu opens what it finds by name and follows links, so all that is there is
// looked at before criu is given the directory, by its descriptor.
type imageDir struct {
	file *os.File
	path string // for errors
}

// openImages opens a directory of images; made says whether to make it if it is
// missing. ErrInvalidArgument: no absolute path, no directory, or a link to one.
func openImages(path string, make bool) (*imageDir, error) {
	f, err := openDirectory(path, make)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	return &imageDir{file: f, path: path}, nil
}

// openDirectory opens a directory that a caller named, not through a link.
func openDirectory(path string, make bool) (*os.File, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%q is not an absolute path: %w", path, errdefs.ErrInvalidArgument)
	}
	if make {
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	switch {
	case errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrNotFound)
	}
	return f, err
}

func (d *imageDir) close() { _ = d.file.Close() } // a directory

// checkTarget makes sure that a dump into the directory writes to nothing but
// files of the directory: criu truncates what has the name of an image.
func (d *imageDir) checkTarget() error {
	return d.check(func(name string, st *unix.Stat_t) string {
		switch {
		case st.Mode&unix.S_IFMT != unix.S_IFREG:
			return "is no regular file"
		case st.Nlink != 1:
			return "has another name"
		}
		return ""
	})
}

// checkSource makes sure that a restore from the directory opens nothing but files
// of the directory: no fifo that would never answer, no link to a file of the host
// or to the memory of another checkpoint. parent allows a link to that one.
func (d *imageDir) checkSource(parent bool) error {
	return d.check(func(name string, st *unix.Stat_t) string {
		switch kind := st.Mode & unix.S_IFMT; {
		case name == parentLink && kind == unix.S_IFLNK && parent:
		case name == parentLink:
			return "is the checkpoint of an earlier time, which was not named"
		case kind != unix.S_IFREG && kind != unix.S_IFDIR:
			return "is no regular file"
		}
		return ""
	})
}

// check looks at each entry; judge says what is wrong with it.
func (d *imageDir) check(judge func(name string, st *unix.Stat_t) string) error {
	names, err := d.file.Readdirnames(-1)
	if err != nil {
		return err
	}
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for _, name := range names {
		var st unix.Stat_t
		err := sys.Control(d.file, func(fd int) error {
			return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		})
		if err != nil {
			return &os.PathError{Op: "fstatat", Path: filepath.Join(d.path, name), Err: err}
		}
		if wrong := judge(name, &st); wrong != "" {
			return fmt.Errorf("open checkpoint %s: %q %s: %w", d.path, name, wrong, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// writeStreams keeps the names of the standard streams for a restore.
func (d *imageDir) writeStreams(names []string) error {
	data, err := json.Marshal(names)
	if err != nil {
		return err
	}
	f, err := d.open(streamsFile, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// readStreams are the names that writeStreams, or runc, has kept.
// ErrInvalidArgument: the file is not of that kind. ErrNotFound: there is none, so
// it is no checkpoint of a container.
func (d *imageDir) readStreams() (names []string, err error) {
	f, err := d.open(streamsFile, unix.O_RDONLY|unix.O_NONBLOCK)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no checkpoint: %w: %w", d.path, err, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxStreams))
	if err == nil {
		err = json.Unmarshal(data, &names)
	}
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w: %w", f.Name(), err, errdefs.ErrInvalidArgument)
	}
	if len(names) > 3 {
		names = names[:3]
	}
	return names, nil
}

func (d *imageDir) open(name string, flags int) (f *os.File, err error) {
	err = sys.Control(d.file, func(dir int) error {
		return sys.Retry(func() error {
			fd, err := unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
			if err == nil {
				f = os.NewFile(uintptr(fd), filepath.Join(d.path, name))
			}
			return err
		})
	})
	if err != nil {
		return nil, &os.PathError{Op: "openat", Path: filepath.Join(d.path, name), Err: err}
	}
	return f, nil
}

// checkChain looks at the earlier checkpoints that this one adds to.
func (d *imageDir) checkChain() error {
	for range maxChain {
		link, err := d.parent()
		if err != nil || link == "" {
			return err
		}
		if !isSibling(link) {
			return fmt.Errorf("open checkpoint %s: parent %s is not beside it: %w", d.path, link, errdefs.ErrInvalidArgument)
		}
		f, err := d.open(link, unix.O_DIRECTORY)
		if err != nil {
			return fmt.Errorf("open checkpoint: %w", err)
		}
		defer f.Close()
		d = &imageDir{file: f, path: f.Name()}
		if err := d.checkSource(true); err != nil {
			return err
		}
	}
	return fmt.Errorf("open checkpoint %s: it has more than %d parents: %w", d.path, maxChain, errdefs.ErrInvalidArgument)
}

// maxChain bounds how many checkpoints may add to each other, one of which may
// add to itself.
const maxChain = 64

// parent is where the parent link leads to, "" without one.
func (d *imageDir) parent() (link string, err error) {
	buf := make([]byte, unix.PathMax)
	err = sys.Control(d.file, func(fd int) error {
		n, err := unix.Readlinkat(fd, parentLink, buf)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		link = string(buf[:max(n, 0)])
		return os.NewSyscallError("readlinkat", err)
	})
	return link, err
}

// isSibling reports whether a parent link leads from one image directory to another
// beside it, as a chain of dumps does; anywhere else it leads out.
func isSibling(link string) bool {
	name, ok := strings.CutPrefix(link, "../")
	return ok && name != "" && name != ".." && name != "." && !strings.Contains(name, "/")
}
