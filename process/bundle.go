// SPDX-License-Identifier: Apache-2.0

package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/linux"
	"github.com/containerd-mini/mini/linux/oci"
)

// Files of a bundle. config.json is containerd's, the others are ours.
const (
	configFile = "config.json"
	pidFile    = "init.pid"    // init's pid in decimal, as runc's shim writes it
	recordFile = "record.json" // what a clean-up after a crash needs
	exitFile   = "exit.json"   // how init ended
)

// bundle is the absolute path of an OCI bundle.
type bundle string

// record is record.json.
type record struct {
	Linux   linux.Record  `json:"linux"`
	Options linux.Options `json:"options"`
}

// exitRecord is exit.json, in the field names of containerd-shim-runc-v2.
type exitRecord struct {
	Timestamp time.Time
	Pid       int
	Status    uint32
}

// openBundle checks that path can be a bundle. ErrInvalidArgument: not an
// absolute path. ErrNotFound: nothing is there.
func openBundle(path string) (bundle, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("open bundle %q: not an absolute path: %w", path, errdefs.ErrInvalidArgument)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", coded(fmt.Errorf("open bundle: %w", err))
	case !info.IsDir():
		return "", fmt.Errorf("open bundle %s: not a directory: %w", path, errdefs.ErrInvalidArgument)
	}
	return bundle(filepath.Clean(path)), nil
}

func (b bundle) path(file string) string { return filepath.Join(string(b), file) }

// spec reads config.json.
func (b bundle) spec() (*specs.Spec, error) {
	data, err := oci.Read(b.path(configFile))
	switch {
	case errors.Is(err, oci.ErrTooLarge):
		return nil, fmt.Errorf("read bundle: %w: %w", err, errdefs.ErrInvalidArgument)
	case err != nil:
		return nil, coded(fmt.Errorf("read bundle: %w", err))
	}
	s, err := oci.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w: %w", b.path(configFile), err, errdefs.ErrInvalidArgument)
	}
	return s, nil
}

// makeRootfs makes the directory that rootfs mounts go to; containerd usually
// has. made says that it was missing.
func (b bundle) makeRootfs() (made bool, err error) {
	err = os.Mkdir(b.path("rootfs"), 0o711) // as runc's shim; an id-mapped root must pass
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

func (b bundle) writeRecord(r record) error { return b.writeJSON(recordFile, r) }

// readRecord is nil, with no error, when Create did not come so far.
func (b bundle) readRecord() (*record, error) {
	var r record
	if err := b.readJSON(recordFile, &r); err != nil {
		return nil, ignoreNotExist(err)
	}
	return &r, nil
}

// writeExit records how init ended. On a full disk it takes the block of init.pid,
// which says nothing then that the exit does not.
func (b bundle) writeExit(e Exit) error {
	r := exitRecord{Timestamp: e.At, Pid: e.Pid, Status: e.Code}
	err := b.writeJSON(exitFile, r)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		if b.overwrite(pidFile, r) == nil {
			err = os.Rename(b.path(pidFile), b.path(exitFile))
		}
	}
	return err
}

// overwrite writes over a short file without giving its space back.
func (b bundle) overwrite(file string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(b.path(file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	return errors.Join(err, f.Close())
}

// readExit is nil, with no error, when init's end was not recorded.
func (b bundle) readExit() (*Exit, error) {
	var r exitRecord
	if err := b.readJSON(exitFile, &r); err != nil {
		return nil, ignoreNotExist(err)
	}
	if r.Pid <= 0 || r.Timestamp.IsZero() {
		return nil, fmt.Errorf("parse %s: no pid or no time in it", b.path(exitFile))
	}
	return &Exit{Pid: r.Pid, Code: r.Status, At: r.Timestamp}, nil
}

func (b bundle) writePid(pid int) error {
	return b.write(pidFile, []byte(strconv.Itoa(pid)))
}

// readPid is 0, with no error, when there never was an init.
func (b bundle) readPid() (int, error) {
	data, err := os.ReadFile(b.path(pidFile))
	if err != nil {
		return 0, ignoreNotExist(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("parse %s: %q is not a pid", b.path(pidFile), data)
	}
	return pid, nil
}

func (b bundle) writeJSON(file string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", b.path(file), err)
	}
	return b.write(file, data)
}

// write puts a whole file in place or none: a reader after a crash of the shim
// never sees half of one. It is not synced: bundles lie on a tmpfs (/run) and
// do not outlive the machine.
func (b bundle) write(file string, data []byte) error {
	tmp := b.path("." + file + ".tmp")
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return errors.Join(err, ignoreNotExist(os.Remove(tmp)))
	}
	return os.Rename(tmp, b.path(file))
}

func (b bundle) readJSON(file string, v any) error {
	data, err := os.ReadFile(b.path(file))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("parse %s: %w", b.path(file), err)
	}
	return nil
}

// remove takes away what Create wrote, when it failed.
func (b bundle) remove(files ...string) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, ignoreNotExist(os.Remove(b.path(f))))
	}
	return errors.Join(errs...)
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
