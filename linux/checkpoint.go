// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/criu"
	"github.com/containerd-mini/mini/linux/fault"
)

// CheckpointConfig says how Checkpoint is to be done.
type CheckpointConfig struct {
	Images string // directory for the images, made if it is missing
	Work   string // directory for criu's log, made if it is missing; "": one in the bundle, for the time being
	Parent string // directory of an earlier checkpoint that this one adds to, relative to Images; or ""

	// Chain allows a later checkpoint to add to this one: changes of memory are
	// tracked from here, where the kernel can.
	Chain bool

	Exit                bool // end the container; else it goes on
	OpenTCP             bool // TCP connections
	ExternalUnixSockets bool // unix sockets that are connected to the outside
	Terminal            bool // processes that belong to a terminal or session outside
	FileLocks           bool
	// EmptyNamespaces are kinds of namespaces whose contents are left out: network.
	EmptyNamespaces []string
	// CgroupsMode is what is kept of cgroups that the container has made: soft, full,
	// strict, ignore, or "" for soft.
	CgroupsMode string
}

// Files that a checkpoint leaves in the bundle when it failed, and needs there.
const (
	dumpLog     = "dump.log"
	keptDumpLog = "criu-dump.log"
	criuWork    = "criu-work"
)

// Checkpoint writes the state of every process of the container to a directory.
// Precondition: it is running or frozen. On an error it goes on as it was.
// ErrNotImplemented: criu is not there, or too old. ErrInvalidArgument: the
// directory cannot be one of images, or an option is unknown.
func (c *Container) Checkpoint(ctx context.Context, cfg *CheckpointConfig) error {
	if err := c.checkpoint(ctx, cfg); err != nil {
		return fmt.Errorf("checkpoint container %s: %w", c.id, err)
	}
	return nil
}

func (c *Container) checkpoint(ctx context.Context, cfg *CheckpointConfig) error {
	o, err := c.dumpOptions(cfg)
	if err != nil {
		return err
	}
	conf, err := findCriu(ctx)
	if err != nil {
		return err
	}
	if o.TrackMem = cfg.Parent != ""; cfg.Chain && !o.TrackMem {
		if o.TrackMem, err = criu.TracksMemory(ctx, conf); err != nil {
			return err
		}
	}
	images, err := openImages(cfg.Images, true)
	if err != nil {
		return err
	}
	defer images.close()
	if err := images.checkTarget(); err != nil {
		return err
	}
	work, err := openWork(cfg.Work, c.bundle)
	if err != nil {
		return err
	}
	defer work.close()
	if err := images.writeStreams(c.streamNames()); err != nil {
		return err
	}
	o.Images, o.Work = images.file, work.file
	w, err := criu.Start(conf)
	if err != nil {
		return err
	}
	fault.Point("checkpoint.started")
	if _, err = w.Do(ctx, criu.Dump, o, ignoreNotification); err != nil {
		return nestedNamespace(work.explain(err, dumpLog, filepath.Join(c.bundle, keptDumpLog)))
	}
	return nil
}

// nestedNamespace says what criu means where it met the mark of an exec (tree.go).
func nestedNamespace(err error) error {
	if !strings.Contains(err.Error(), "dump nested cgroup namespace") { // criu/namespaces.c, generate_ns_id
		return err
	}
	return fmt.Errorf("a process that an exec has left has a cgroup namespace of its own, which criu does not dump: %w: %w", errdefs.ErrFailedPrecondition, err)
}

// ignoreNotification: a dump tells of nothing that we have to do.
func ignoreNotification(n *criu.Notification) error {
	closeAll(n.Files)
	if n.Script == "network-lock" { // the processes are stopped, and criu is in them
		fault.Point("checkpoint.stopped")
	}
	return nil
}

// findCriu is how criu is started on this machine.
func findCriu(ctx context.Context) (*criu.Config, error) {
	path, err := criu.Find()
	if err != nil {
		return nil, err
	}
	c := &criu.Config{Path: path, Start: func(cmd *exec.Cmd) (func() error, error) { return StartHelper(ctx, cmd) }}
	return c, criu.Check(ctx, c)
}

// dumpOptions are criu's options for a checkpoint, but for the directories.
func (c *Container) dumpOptions(cfg *CheckpointConfig) (*criu.Options, error) {
	mode, err := cgroupMode(cfg.CgroupsMode)
	if err != nil {
		return nil, err
	}
	empty, err := emptyNamespaces(cfg.EmptyNamespaces)
	if err != nil {
		return nil, err
	}
	if cfg.Parent != "" && filepath.IsAbs(cfg.Parent) {
		return nil, fmt.Errorf("parent path %s: not relative to the images: %w", cfg.Parent, errdefs.ErrInvalidArgument)
	}
	h, err := hierarchy()
	if err != nil {
		return nil, err
	}
	o := &criu.Options{
		Pid: c.init.pid, LogFile: dumpLog, LeaveRunning: !cfg.Exit,
		TCPEstablished: cfg.OpenTCP, ExtUnixSockets: cfg.ExternalUnixSockets, ShellJob: cfg.Terminal, FileLocks: cfg.FileLocks,
		OrphanPTSMaster: true, EmptyNS: empty, Cgroups: mode,
		ParentImage:  cfg.Parent,
		FreezeCgroup: filepath.Join(h.Mountpoint, c.group.Path()), ConfigFile: criuConfigFile(c.spec),
	}
	if o.Mounts, err = c.outerMounts(); err != nil {
		return nil, err
	}
	o.Externals, err = c.externals()
	return o, err
}

// externals is what the container has from outside, but for mounts.
func (c *Container) externals() ([]string, error) {
	var list []string
	for _, n := range c.spec.Linux.Namespaces {
		key := externalKey(n.Type)
		if n.Path == "" || key == "" {
			continue
		}
		inode, err := c.namespaceInode(n.Type)
		if err != nil {
			return nil, err
		}
		list = append(list, fmt.Sprintf("%s[%d]:%s", nsName(n.Type), inode, key))
	}
	if c.spec.Process.Terminal {
		return list, nil
	}
	for _, s := range c.streams {
		if s.kind == outerFile {
			list = append(list, s.name())
		}
	}
	return list, nil
}

// streamNames are those of init's standard streams, as the restore needs them;
// a terminal is the container's own.
func (c *Container) streamNames() []string {
	names := make([]string, 0, len(c.streams))
	for _, s := range c.streams {
		if !c.spec.Process.Terminal {
			names = append(names, s.name())
		}
	}
	return names
}

// externalKey names a joined namespace that criu leaves alone, between dump and
// restore, as runc does; "" is for those that criu has another way for.
func externalKey(kind specs.LinuxNamespaceType) string {
	switch kind {
	case specs.NetworkNamespace:
		return "extRootNetNS"
	case specs.PIDNamespace:
		return "extRootPidNS"
	}
	return ""
}

// cgroupMode reads an option of containerd's, whose values are criu's and runc's.
func cgroupMode(s string) (criu.CgroupMode, error) {
	switch s {
	case "":
		return criu.CgroupDefault, nil
	case "soft":
		return criu.CgroupSoft, nil
	case "full":
		return criu.CgroupFull, nil
	case "strict":
		return criu.CgroupStrict, nil
	case "ignore":
		return criu.CgroupIgnore, nil
	}
	return 0, fmt.Errorf("cgroups mode %q is unknown: %w", s, errdefs.ErrInvalidArgument)
}

// emptyNamespaces reads an option of containerd's. criu can leave a network
// namespace's contents out, and no other's.
func emptyNamespaces(kinds []string) (flags uint32, err error) {
	for _, kind := range kinds {
		if nsFlag(specs.LinuxNamespaceType(kind)) != unix.CLONE_NEWNET {
			return 0, fmt.Errorf("empty namespace %q: only a network namespace can be: %w", kind, errdefs.ErrInvalidArgument)
		}
		flags |= unix.CLONE_NEWNET
	}
	return flags, nil
}

// criuConfigAnnotation names a file of criu's options for one container.
const criuConfigAnnotation = "org.criu.config"

// criuConfigFile is a file of criu's options that the administrator may have
// made, by the rules and under the names of runc. criu takes a missing one for an
// empty one.
func criuConfigFile(spec *specs.Spec) string {
	if file, ok := spec.Annotations[criuConfigAnnotation]; ok {
		return file
	}
	return "/etc/criu/runc.conf"
}
