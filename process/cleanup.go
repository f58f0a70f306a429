// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd-mini/mini/linux"
	"github.com/containerd-mini/mini/linux/fault"
)

// cleanupLimit bounds the wait for processes that do not die: containerd gives
// the whole delete verb 5 s and then leaves everything behind.
const cleanupLimit = 4 * time.Second

// Cleanup removes what is left of a container whose shim is gone and returns how
// its init ended: as recorded before the exit was announced, or otherwise killed now.
// The bundle may be in any state that a crash can leave it in, or may never have
// held a container. The Exit is valid even if err says that something could
// not be removed or read.
//
// Only what record.json names is killed. Without one Create did not come as far
// as a process, and at config.json's cgroup path there may be a container of
// somebody else: linux.Cleanup removes that cgroup only if it is empty.
func Cleanup(path, id string) (Exit, error) {
	if err := checkID(id); err != nil {
		return killed(0), err
	}
	b, err := openBundle(path)
	if err != nil {
		return killed(0), err
	}
	fault.Point("cleanup.begun")
	err = b.destroy(id)
	fault.Point("cleanup.destroyed")
	exit, eerr := b.readExit()
	if exit != nil {
		return *exit, err
	}
	pid, perr := b.readPid()
	return killed(pid), errors.Join(err, eerr, perr)
}

// destroy ends the container of the bundle, with whatever of it can be read.
func (b bundle) destroy(id string) error {
	rec, err := b.readRecord()
	spec, serr := b.spec()
	var (
		made    *linux.Record
		options linux.Options
	)
	if rec != nil {
		made, options = &rec.Linux, rec.Options
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupLimit)
	defer cancel()
	cerr := linux.Cleanup(ctx, string(b), id, spec, made, options)
	if cerr != nil {
		cerr = fmt.Errorf("clean up container %s: %w", id, cerr)
	}
	return errors.Join(err, serr, cerr)
}

func killed(pid int) Exit { return Exit{Pid: pid, Code: killedCode, At: time.Now()} }
