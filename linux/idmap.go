// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// mapsOf reads the id maps of a user namespace, and whether it denies setgroups. The
// kernel shows them only as a process's attributes, so a child goes there, and waits
// to be killed.
func mapsOf(userns *os.File) (uids, gids idMap, noGroups bool, err error) {
	parent, end, err := fork.Pair()
	if err != nil {
		return nil, nil, false, err
	}
	defer parent.Close()
	p := fork.NewProgram()
	undumpable(p)
	p.KeepOnly(end, userns)
	p.Call("join user namespace", unix.SYS_SETNS, fork.FD(userns.Fd(), "user"), fork.Hex(unix.CLONE_NEWUSER))
	p.Call("report", unix.SYS_SENDTO, fork.FD(end.Fd(), "socket"), message(p, msgCreated), fork.Int(1), fork.Int(unix.MSG_NOSIGNAL))
	p.Call("wait", unix.SYS_RECVFROM, fork.FD(end.Fd(), "socket"), message(p, 0), fork.Int(1))
	p.Call("exit", unix.SYS_EXIT_GROUP)
	s := spawn{config: fork.Config{Program: p, Conn: end}}
	child, err := s.run()
	_ = end.Close()
	if err != nil {
		return nil, nil, false, err
	}
	defer func() {
		if aerr := abandon(child); err == nil {
			err = aerr
		}
	}()
	if _, err := reply(parent.Recv, p, msgCreated, "read id maps"); err != nil {
		return nil, nil, false, err
	}
	if uids, err = readMap(child.Pid, "uid_map"); err != nil {
		return nil, nil, false, err
	}
	gids, err = readMap(child.Pid, "gid_map")
	return uids, gids, groupsDenied(strconv.Itoa(child.Pid)), err
}

func readMap(pid int, name string) (idMap, error) {
	b, err := sys.ReadProc(strconv.Itoa(pid) + "/" + name)
	if err != nil {
		return nil, fmt.Errorf("read id maps: %w", err)
	}
	return parseIDMap(b), nil
}
