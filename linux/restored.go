// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/criu"
	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/sys"
)

const (
	restoreLog     = "restore.log"
	keptRestoreLog = "criu-restore.log"
)

func (r *restorer) keptLog() string { return filepath.Join(r.Bundle, keptRestoreLog) }

// options are criu's for the restore.
func (r *restorer) options() (*criu.Options, error) {
	names, err := r.images.readStreams()
	if err != nil {
		return nil, err
	}
	if !r.Spec.Process.Terminal {
		if r.inherit, r.stdio, err = inherit(names, r.Stdio); err != nil {
			return nil, err
		}
	}
	root, err := filepath.EvalSymlinks(rootPath(r.Bundle, r.Spec))
	if err != nil {
		return nil, err
	}
	o := &criu.Options{
		Images: r.images.file, LogFile: restoreLog, Root: root,
		RstSibling: true, EvasiveDevices: true, OrphanPTSMaster: true,
		// Whoever made the checkpoint has allowed what is in it: containerd has no way
		// to say it again here.
		TCPEstablished: true, ExtUnixSockets: true, FileLocks: true,
		Cgroups: criu.CgroupDefault, CgroupRoots: []criu.Pair{{Value: r.c.group.Path()}},
		Mounts: sourceMounts(r.Spec, r.Bundle, r.c.mounts.Devices()), ConfigFile: criuConfigFile(r.Spec),
		LSMProfile: criuProfile(r.Spec.Process),
	}
	r.joins(o)
	o.Inherit = r.inherit
	return o, nil
}

// joins names the namespaces that the specification has by path. They are those
// that were opened and looked at, by descriptor.
func (r *restorer) joins(o *criu.Options) {
	for _, n := range nsFlags {
		f := r.ns.join[n.flag]
		if f == nil {
			continue
		}
		if key := externalKey(n.kind); key != "" {
			r.inherit = append(r.inherit, criu.Inherit{Key: key, File: f})
			continue
		}
		path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
		o.JoinNS = append(o.JoinNS, criu.Pair{Key: nsName(n.kind), Value: path})
	}
}

// start starts criu in the container's cgroup, whose limits count for it, and in a
// mount namespace of its own, where alone the rootfs is mounted for it to be the
// restored container's root.
func (r *restorer) start(work *workDir) error {
	conf := *r.criu
	conf.Start = startIn(r.ctx, r.c.group.Dir())
	files := make([]*os.File, len(r.inherit))
	for i := range r.inherit {
		files[i] = r.inherit[i].File
	}
	return sys.OnThread(func() (err error) {
		if err := sys.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := r.c.mounts.Stage(); err != nil {
			return err
		}
		if err := work.reopen(); err != nil {
			return err
		}
		unix.Umask(0o077)
		if r.worker, err = criu.Start(&conf, files...); err != nil {
			return err
		}
		defer r.c.resctrl.Joined()
		return r.c.resctrl.Join(r.worker.Pid()) // and so what it will make
	})
}

// notified acts on what criu tells of. An error makes criu undo the restore.
func (r *restorer) notified(n *criu.Notification) error {
	if n.Pid > 0 && r.pidfd == nil {
		if err := r.adopt(n.Pid); err != nil {
			closeAll(n.Files)
			return err
		}
	}
	switch n.Script {
	case "orphan-pts-master":
		return r.takeTerminal(n.Files)
	case "setup-namespaces":
		closeAll(n.Files)
		return r.createHooks()
	case "post-restore": // all is there, and nothing runs yet
		closeAll(n.Files)
		fault.Point("restore.stopped")
		if err := r.checkNamespaces(); err != nil {
			return err
		}
		return r.checkMounts()
	case "pre-resume": // with their rights, too
		closeAll(n.Files)
		return r.kept(r.checkRights(zombieLimit))
	}
	closeAll(n.Files)
	return nil
}

// createHooks runs the hooks that set up a new network namespace, as runc does: it
// is there, and nothing is restored into it yet.
func (r *restorer) createHooks() error {
	for _, kind := range []hookKind{hookPrestart, hookCreateRuntime} {
		if err := r.hooks.run(r.ctx, kind, specs.StateCreating, r.pid, hookOnHost(r.Bundle)); err != nil {
			return err
		}
	}
	return nil
}

// kept passes an error on once nothing can run any more: so late criu would go on.
func (r *restorer) kept(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(err, r.c.group.Kill())
}

// adopt takes the process that criu has made as the shim's child. Nobody has
// waited for a child but we (pidSet.adopt), so its pid is its own.
func (r *restorer) adopt(pid int) error {
	pidfd, err := sys.PidfdOpen(pid)
	if err != nil {
		return err
	}
	if err := sys.PidfdIsChild(pidfd); err != nil {
		_ = pidfd.Close() // a pidfd
		return fmt.Errorf("process %d is no child of the shim: %w", pid, err)
	}
	own.add(pid)
	r.pid, r.pidfd = pid, pidfd
	return nil
}

// takeTerminal takes the master of the restored terminal.
func (r *restorer) takeTerminal(files []*os.File) (err error) {
	defer closeAll(files)
	if len(files) != 1 || r.console != nil || !r.Spec.Process.Terminal {
		return fmt.Errorf("the checkpoint has a terminal that the container does not: %w", errdefs.ErrFailedPrecondition)
	}
	if err := checkPTY(files[0]); err != nil {
		return err
	}
	r.console, err = console(files[0], r.Spec.Process.ConsoleSize)
	return err
}

func (r *restorer) checkTerminal() error {
	if r.Spec.Process.Terminal && r.console == nil {
		return fmt.Errorf("the checkpoint has no terminal, which the container has: %w", errdefs.ErrFailedPrecondition)
	}
	if r.pidfd == nil {
		return errors.New("criu did not tell of the process")
	}
	return nil
}

// undo ends what a failed restore has left: criu is dead or will be, as it is in
// the cgroup, and what it has made.
func (r *restorer) undo() error {
	ctx, cancel := context.WithTimeout(context.Background(), undoLimit)
	defer cancel()
	err := r.c.group.Kill()
	if r.pidfd != nil {
		_, werr := sys.PidfdWait(r.pidfd)
		own.remove(r.pid)
		err = errors.Join(err, werr, r.pidfd.Close())
	}
	if r.console != nil {
		_ = r.console.Close() // hung up
	}
	if r.worker != nil {
		r.worker.Close()
	}
	return errors.Join(err, r.c.group.WaitEmpty(ctx))
}

// undoLimit bounds the wait for processes that do not die.
const undoLimit = 10 * time.Second
