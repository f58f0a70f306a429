// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Copy is one step of the mount option tmpcopyup: a file that a tmpfs gets from the
// directory that it covers. A process in the container's cgroup makes it, because the
// kernel charges that process for the pages (Config.CopyUp).
type Copy struct {
	// Name is the path below the root of the tmpfs. Its directories exist. They are no
	// links, because nobody else can reach the tmpfs.
	Name string
	// Stat has the type, the owner, the mode, the times and the device number.
	Stat unix.Stat_t
	// Link is where a symbolic link leads.
	Link string
	// From has the contents of a regular file, open for reading. The Set closes it.
	From *os.File
	// Filled says that a directory exists with all that belongs into it, and lacks only
	// its owner, its mode and its times.
	Filled bool
}

// maxCopies bounds a batch, and so the descriptors that are open for it. Each batch
// costs a clone.
const maxCopies = 256

// copier collects the copies of one tmpfs.
type copier struct {
	to    *os.File // the root of the tmpfs
	do    func(to *os.File, batch []Copy) error
	dev   uint64 // of the directory; other filesystems are not entered
	batch []Copy
	dirs  []Copy // to be filled
}

// copyUp copies what is in the directory from, an O_PATH descriptor in the
// container, into the directory to, a tmpfs that is attached nowhere yet. No
// path leads there, so nothing of the container can redirect the copy
// (CVE-2021-30465). copyUp does not enter mounts below from. do makes the copies.
func copyUp(from int, to *os.File, do func(to *os.File, batch []Copy) error) error {
	st, err := sys.Stat(from)
	if err != nil {
		return err
	}
	c := &copier{to: to, do: do, dev: uint64(st.Dev)} // 32 bits on some
	defer c.drop()
	if err := c.directory(from, ""); err != nil {
		return err
	}
	for _, d := range slices.Backward(c.dirs) {
		if err := c.add(d); err != nil {
			return err
		}
	}
	return c.flush()
}

// directory adds what is in a directory, an O_PATH descriptor. prefix is its name
// with a slash behind it, or "".
func (c *copier) directory(at int, prefix string) error {
	fd, err := sys.OpenAt(at, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("copy up %s: %w", prefix, err)
	}
	dir := os.NewFile(uintptr(fd), prefix)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("copy up %s: %w", prefix, err)
	}
	for _, name := range names {
		if err := c.file(fd, name, Copy{Name: prefix + name}); err != nil {
			return err
		}
	}
	return nil
}

// file adds the file name of the directory at, and what is in it.
func (c *copier) file(at int, name string, one Copy) error {
	fd, err := sys.OpenAt(at, name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return fmt.Errorf("copy up %s: %w", one.Name, err)
	}
	defer sys.Close(fd)
	if err := one.read(fd); err != nil {
		return fmt.Errorf("copy up %s: %w", one.Name, err)
	}
	if err := c.add(one); err != nil {
		return err
	}
	if one.Stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	one.Filled = true
	c.dirs = append(c.dirs, one)
	if uint64(one.Stat.Dev) != c.dev { // 32 bits on some
		return nil
	}
	return c.directory(fd, one.Name+"/")
}

// read fills in what a copy needs to know of a file, an O_PATH descriptor.
func (one *Copy) read(fd int) (err error) {
	if one.Stat, err = sys.Stat(fd); err != nil {
		return err
	}
	switch one.Stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		in, err := sys.OpenAt(unix.AT_FDCWD, procPath(fd), unix.O_RDONLY)
		if err != nil {
			return err
		}
		one.From = os.NewFile(uintptr(in), one.Name)
	case unix.S_IFLNK:
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(fd, "", buf)
		if err != nil {
			return os.NewSyscallError("readlinkat", err)
		}
		one.Link = string(buf[:n])
	}
	return nil
}

func (c *copier) add(one Copy) error {
	c.batch = append(c.batch, one)
	if len(c.batch) < maxCopies {
		return nil
	}
	return c.flush()
}

func (c *copier) flush() error {
	if len(c.batch) == 0 {
		return nil
	}
	defer c.drop()
	return c.do(c.to, c.batch)
}

// drop closes the files of the batch.
func (c *copier) drop() {
	for _, one := range c.batch {
		if one.From != nil {
			_ = one.From.Close() // nothing was written
		}
	}
	c.batch = c.batch[:0]
}
