// SPDX-License-Identifier: Apache-2.0

// Command streams does to its standard streams what a hostile process would do to get
// at what is behind them, and says in a file what they are: streams FILE.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	var report strings.Builder
	fmt.Println("before the attack")
	for fd := range 3 {
		name := fmt.Sprintf("/proc/self/fd/%d", fd)
		link, err := os.Readlink(name)
		var fs unix.Statfs_t
		err = errors.Join(err, unix.Fstatfs(fd, &fs))
		// Of the root of the file system that the stream is in, for most kinds of them.
		handle := unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0})
		root, herr := unix.OpenByHandleAt(fd, handle, unix.O_RDONLY|unix.O_DIRECTORY)
		if herr == nil {
			unix.Close(root)
		}
		fmt.Fprintf(&report, "%d %s %#x %v %v\n", fd, link, fs.Type, herr == nil, err)
		attack(fd, name)
	}
	fmt.Println("after the attack")
	if err := os.WriteFile(os.Args[1], []byte(report.String()), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// attack changes what it can reach; what fails is of no interest.
func attack(fd int, name string) {
	_ = os.Chmod(name, 0o4755|os.ModeSetuid)
	_ = unix.Fchmod(fd, 0o4755)
	_ = unix.Fsetxattr(fd, "user.attack", []byte("x"), 0)
	_, _ = unix.Pwrite(fd, []byte("OVERWRITTEN"), 0)
	_ = unix.Ftruncate(fd, 0)
	for _, flags := range []int{unix.O_WRONLY | unix.O_TRUNC, unix.O_RDWR} {
		again, err := unix.Open(name, flags|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if err != nil {
			continue
		}
		_, _ = unix.Pwrite(again, []byte("OVERWRITTEN"), 0)
		_ = unix.Ftruncate(again, 0)
		unix.Close(again)
	}
}
