// SPDX-License-Identifier: Apache-2.0

package bed

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// containerdEnv names a directory with containerd, ctr and runc's shim of
// another release, for programs that start the bed with no Config.Containerd.
const containerdEnv = "CONTAINERD_DIR"

// Config says what kind of containerd to start.
type Config struct {
	// Root is the root of the repository, whose bin/tools scripts/setup filled.
	Root string
	// Containerd is the directory with containerd and ctr; if it is empty,
	// CONTAINERD_DIR of the environment; if that is empty, Root/bin/tools.
	Containerd string
	// ShimDirs are looked in first for shims; then Containerd, Root/bin and
	// Root/bin/tools.
	ShimDirs []string
	// Env is added to the environment of containerd, and so of the shims.
	Env []string
	// SocketDir is where shims are told to make their sockets, from containerd
	// 2.3 on; "s" in the daemon's directory where it is empty.
	SocketDir string
	// Debug makes containerd and the shims log at debug level.
	Debug bool
	// CRI returns more configuration, TOML, for a containerd of the release with
	// its CRI plugin, which is off where it is nil.
	CRI func(Release) string
	// Rootless is set for a containerd that is no root of the host.
	Rootless *Rootless
}

func (c *Config) containerd() string { return cmp.Or(c.Containerd, os.Getenv(containerdEnv)) }

// toml is the configuration of containerd, in the version that its release
// reads.
func (d *Daemon) toml() string {
	off := `"io.containerd.internal.v1.restart", "io.containerd.nri.v1.nri"`
	if d.config.CRI == nil {
		off += `, "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"`
	}
	version, more := 3, ""
	if d.config.CRI != nil {
		more = d.config.CRI(d.release)
	}
	if d.release.Before(2, 0) {
		version = 2
	}
	if !d.release.Before(2, 3) {
		more += fmt.Sprintf("[plugins.'io.containerd.shim.v1.manager']\n  socket_dir = %q\n", d.SocketDir())
	}
	return fmt.Sprintf(`version = %[2]d
root = "%[1]s/root"
state = "%[1]s/state"
imports = []
disabled_plugins = [%[3]s]
[grpc]
  address = "%[1]s/c.sock"
[plugins.'io.containerd.internal.v1.opt']
  path = "%[1]s/opt"
`, d.Dir, version, off) + more
}

// writeConfig asks the containerd of the configuration for its release, and
// writes what it will read.
func (d *Daemon) writeConfig(ctx context.Context) (err error) {
	if d.release, err = releaseOf(ctx, d.program("containerd")); err != nil {
		return err
	}
	return os.WriteFile(d.path("config.toml"), []byte(d.toml()), 0o600)
}

// Upgrade is Restart with the containerd in another directory.
func (d *Daemon) Upgrade(ctx context.Context, dir string) error {
	d.config.Containerd = dir
	if err := d.writeConfig(ctx); err != nil {
		return err
	}
	return d.Restart(ctx)
}

// Import gets the images into a namespace of containerd, by way of its ctr.
func (d *Daemon) Import(ctx context.Context, namespace string) error {
	args := []string{"--namespace", namespace, "image", "import"}
	if !d.release.Before(1, 7) { // the one way there was before
		args = append(args, "--local")
	}
	out, err := d.Ctr(ctx, append(args, filepath.Join(d.config.Root, "bin/tools/busybox.tar"))...)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
