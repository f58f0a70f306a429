// SPDX-License-Identifier: Apache-2.0

package bed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"github.com/containerd-mini/mini/integration/testenv"
)

const (
	// Namespace is the containerd namespace of everything in the bed.
	Namespace = "bed"
	// Image is the busybox image, imported and unpacked.
	Image = "mini.test/busybox:latest"

	// DefaultSocketDir is where shims make their sockets when containerd does
	// not say.
	DefaultSocketDir = "/run/containerd/s"

	startTimeout = 30 * time.Second
	stopTimeout  = 15 * time.Second
)

// Daemon is a containerd in the bed. It is not safe for concurrent use.
type Daemon struct {
	// Client is connected to the daemon. It is closed by Stop.
	Client *client.Client
	// Dir is the daemon's own directory.
	Dir string

	config  Config
	release Release
	cmd     *exec.Cmd
	exited  chan struct{}   // closed when the daemon is gone
	mounts  map[string]bool // when it was started
	other   *Daemon         // not counted among what is left behind, or nil
}

// Start starts a containerd with an empty root, and imports the image.
func Start(ctx context.Context, config Config) (*Daemon, error) {
	dir, err := os.MkdirTemp("/run", "bed")
	if err != nil {
		return nil, err
	}
	// Root of a user namespace goes through it to its bundle.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	d := &Daemon{Dir: dir, config: config}
	if err := d.writeConfig(ctx); err != nil {
		return nil, err
	}
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	if err := d.Import(ctx, Namespace); err != nil {
		return nil, errors.Join(err, d.Stop())
	}
	mounts, err := MountPoints()
	if err != nil {
		return nil, errors.Join(err, d.Stop())
	}
	d.mounts = mounts
	return d, nil
}

func (d *Daemon) path(name string) string { return filepath.Join(d.Dir, name) }

// Address is the path of containerd's socket.
func (d *Daemon) Address() string { return d.path("c.sock") }

// Release is the version of containerd.
func (d *Daemon) Release() Release { return d.release }

// SocketDir is where shims make their sockets. Before 2.3 that is not
// containerd's to say.
func (d *Daemon) SocketDir() string {
	if d.release.Before(2, 3) {
		return DefaultSocketDir
	}
	return cmp.Or(d.config.SocketDir, d.path("s"))
}

// StateDir holds the bundles of the bed's namespace.
func (d *Daemon) StateDir() string {
	return d.path("state/io.containerd.runtime.v2.task/" + Namespace)
}

// Log is what containerd and the shims have logged.
func (d *Daemon) Log() string {
	data, err := os.ReadFile(d.path("log"))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Pid is the daemon's process id.
func (d *Daemon) Pid() int { return d.cmd.Process.Pid }

// Context is ctx in the bed's namespace.
func Context(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, Namespace)
}

// env is the environment of containerd and of ctr.
func (d *Daemon) env() []string {
	dirs := append([]string{}, d.config.ShimDirs...)
	if dir := d.config.containerd(); dir != "" {
		dirs = append(dirs, dir) // whose runc shim is of the same release
	}
	dirs = append(dirs, filepath.Join(d.config.Root, "bin"), filepath.Join(d.config.Root, "bin/tools"))
	dirs = append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
	env := append(os.Environ(), "PATH="+strings.Join(dirs, ":"), "TMPDIR="+d.Dir,
		"CONTAINERD_ADDRESS="+d.Address(), "CONTAINERD_NAMESPACE="+Namespace)
	return append(env, d.config.Env...)
}

// program is the path of containerd or ctr.
func (d *Daemon) program(name string) string {
	return filepath.Join(cmp.Or(d.config.containerd(), filepath.Join(d.config.Root, "bin/tools")), name)
}

// tool is containerd or ctr in the daemon's environment.
func (d *Daemon) tool(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, d.program(name), args...)
	cmd.Env = d.env()
	return cmd
}

// start starts containerd and waits until it answers.
func (d *Daemon) start(ctx context.Context) error {
	level := "info"
	if d.config.Debug {
		level = "debug"
	}
	log, err := os.OpenFile(d.path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// What a killed containerd left: a client that finds it dead waits for a second.
	if err := os.Remove(d.Address()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	cmd := d.tool(context.WithoutCancel(ctx), "containerd", "--config", d.path("config.toml"), "--log-level", level)
	cmd.Stdout, cmd.Stderr = log, log
	var release func()
	if cmd.SysProcAttr, release, err = d.attr(); err != nil {
		return err
	}
	defer release()
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in the log
		close(exited)
	}()
	d.cmd, d.exited = cmd, exited
	return d.connect(ctx)
}

func (d *Daemon) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, testenv.Patience(startTimeout))
	defer cancel()
	for ; ; time.Sleep(10 * time.Millisecond) {
		select {
		case <-d.exited:
			return fmt.Errorf("containerd exited at its start:\n%s", d.Log())
		case <-ctx.Done():
			return fmt.Errorf("containerd does not answer:\n%s", d.Log())
		default:
		}
		if _, err := os.Stat(d.Address()); err != nil {
			continue
		}
		timeout := client.WithTimeout(testenv.Patience(startTimeout))
		c, err := client.New(d.Address(), client.WithDefaultNamespace(Namespace), timeout)
		if err != nil {
			continue
		}
		if ok, err := c.IsServing(ctx); err == nil && ok {
			d.Client = c
			return nil
		}
		c.Close()
	}
}

// Ctr runs ctr with the arguments and returns what it printed.
func (d *Daemon) Ctr(ctx context.Context, args ...string) (string, error) {
	out, err := d.CtrCommand(ctx, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("ctr %s: %w", strings.Join(args, " "), err)
	}
	return string(out), err
}

// CtrCommand is ctr with the arguments, not started.
func (d *Daemon) CtrCommand(ctx context.Context, args ...string) *exec.Cmd {
	return d.tool(ctx, "ctr", args...)
}

// Kill kills containerd, as a crash would; containers run on.
func (d *Daemon) Kill() error {
	if err := d.cmd.Process.Kill(); err != nil {
		return err
	}
	<-d.exited
	return d.Client.Close()
}

// Shutdown ends containerd in order; containers run on.
func (d *Daemon) Shutdown() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-d.exited:
	case <-time.After(testenv.Patience(stopTimeout)):
		return errors.Join(fmt.Errorf("containerd does not stop:\n%s", d.Log()), d.Kill())
	}
	return d.Client.Close()
}

// Ignore tells that the other daemon's process is not among the leftovers.
func (d *Daemon) Ignore(other *Daemon) { d.other = other }

// Restart starts containerd again after Kill or Shutdown; Client is a new one.
func (d *Daemon) Restart(ctx context.Context) error { return d.start(ctx) }

// Stop ends the daemon and removes its directory.
func (d *Daemon) Stop() error {
	return errors.Join(d.Shutdown(), os.RemoveAll(d.Dir))
}
