// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// A shim need not be the host's root. It needs CAP_SYS_ADMIN in its user namespace,
// since it joins the mount namespaces that it makes, which a process with threads
// can do with that right only: so there is no container for a plain user's shim, nor
// has containerd one that it could serve. Root of a user namespace, which is what
// rootlesskit makes of containerd, has it and all other capabilities.
//
// What a shim may lack is CAP_SETUID and CAP_SETGID, as another user than root with
// some capabilities: then the id maps of user namespaces are written by newuidmap and
// newgidmap of the shadow suite, which hold them against /etc/subuid and /etc/subgid.
// Root of such a container can be the shim's user only, as tools for rootless
// containers have it: what a thread of the shim makes in the container's file systems
// has to belong to that root, and the thread may not take another id (setfsuid(2)).

// idMapper is one of the two maps of a user namespace, and who may write it.
type idMapper struct {
	file    string // of procfs
	what    string // for messages
	cap     int    // with which the shim writes it itself
	capName string
	program string // which writes it for the shim's user
}

var idMappers = [2]idMapper{
	{"uid_map", "user ids", unix.CAP_SETUID, "CAP_SETUID", "newuidmap"},
	{"gid_map", "group ids", unix.CAP_SETGID, "CAP_SETGID", "newgidmap"},
}

// mapperDirs are where distributions have the programs. PATH is not looked at: they
// run with root's rights.
var mapperDirs = []string{"/usr/bin", "/bin", "/run/wrappers/bin"}

// effectiveCaps are the capabilities that the shim has now, in its user namespace.
func effectiveCaps() (capSet, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, os.NewSyscallError("capget", err)
	}
	return capSet(data[0].Effective) | capSet(data[1].Effective)<<32, nil
}

// checkRights is ErrPermissionDenied for a shim that can make no container at all.
func checkRights() error {
	held, err := effectiveCaps()
	if err == nil && held&(1<<unix.CAP_SYS_ADMIN) == 0 {
		err = fmt.Errorf("the shim has no CAP_SYS_ADMIN in its user namespace: containerd is to run as root, or as root of a user namespace, as under rootlesskit: %w", errdefs.ErrPermissionDenied)
	}
	return err
}

// mapsForeign reports whether another program has to write id maps for the shim.
func mapsForeign() (bool, error) {
	held, err := effectiveCaps()
	return held&(1<<unix.CAP_SETUID) == 0 || held&(1<<unix.CAP_SETGID) == 0, err
}

// checkRoot refuses a root of a user namespace that the shim cannot act for. The ids
// are the host's.
func checkRoot(uid, gid uint32) error {
	foreign, err := mapsForeign()
	if err != nil || !foreign || uid == uint32(os.Geteuid()) && gid == uint32(os.Getegid()) {
		return err
	}
	return fmt.Errorf("config.json: linux.uidMappings: the shim has no CAP_SETUID or no CAP_SETGID, so a container's root can be its own user and group %d:%d only, not %d:%d: %w",
		os.Geteuid(), os.Getegid(), uid, gid, errdefs.ErrPermissionDenied)
}

// unmapped is undumpable for a child that waits for its id maps. Procfs gives root
// the files of what is undumpable; where another program writes the maps, as the
// shim's user, the child is so only when they are written (mapped). Until then other
// processes of that user, which is containerd's own, may attach to it: it has no more
// than rights in its new namespace, and none of the shim's memory (package fork).
func unmapped(p *fork.Program, foreign bool) {
	if !foreign {
		undumpable(p)
		return
	}
	p.Call("allow the id maps to be written", unix.SYS_PRCTL, fork.Int(unix.PR_SET_DUMPABLE), fork.Int(1))
}

// mapped ends what unmapped has allowed.
func mapped(p *fork.Program, foreign bool) {
	if foreign {
		undumpable(p)
	}
}

// writeMaps writes the id maps of a child in a new user namespace. setgroups
// stays allowed: who maps gids has the privilege to do so with it.
func writeMaps(pid int, uids, gids idMap) error {
	for i, ids := range [2]idMap{uids, gids} {
		if err := idMappers[i].write(pid, ids); err != nil {
			return fmt.Errorf("map %s: %w", idMappers[i].what, err)
		}
	}
	return nil
}

func (m *idMapper) write(pid int, ids idMap) error {
	err := sys.WriteProc(strconv.Itoa(pid)+"/"+m.file, ids.text())
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	held, cerr := effectiveCaps()
	if cerr != nil || held&(1<<m.cap) != 0 {
		return errors.Join(err, cerr) // the ids are not the shim's to give
	}
	path := m.find()
	if path == "" {
		return fmt.Errorf("the shim has no %s, and there is no %s in %s: %w", m.capName, m.program, mapperDirs, errdefs.ErrPermissionDenied)
	}
	const limit = 10 // seconds; it has nothing to wait for
	timeout := limit
	hook := specs.Hook{Path: path, Args: append([]string{m.program, strconv.Itoa(pid)}, ids.words()...), Env: []string{}, Timeout: &timeout}
	if err := runHook(context.Background(), &hook, nil, hookOnHost("/")); err != nil {
		return fmt.Errorf("the shim has no %s: %s: %w: %w", m.capName, path, err, errdefs.ErrPermissionDenied)
	}
	return nil
}

// find is the path of the program, or "".
func (m *idMapper) find() string {
	for _, dir := range mapperDirs {
		path := filepath.Join(dir, m.program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// words is the map as newuidmap(1) takes it.
func (m idMap) words() (words []string) {
	for _, e := range m {
		for _, n := range []uint32{e.ContainerID, e.HostID, e.Size} {
			words = append(words, strconv.FormatUint(uint64(n), 10))
		}
	}
	return words
}
