// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"errors"
	"os"
)

// release closes what only Create needs.
func (m *maker) release() {
	m.net.drop()
	if m.ns != nil {
		m.ns.close()
	}
	closeAll(append(m.tasks, m.slave))
	_ = m.unpark() // it was killed, whatever else went wrong
	m.forerunner.end()
}

// undo takes back what was made.
func (m *maker) undo(ctx context.Context) (err error) {
	if m.devices != nil {
		err = m.devices.Undo()
	}
	if m.child != nil {
		err = errors.Join(err, abandon(m.child))
	}
	closeAll([]*os.File{m.console})
	if m.end != nil {
		_ = m.end.Close() // closed by clone, unless that was not reached
		_ = m.gate.conn.Close()
	}
	err = errors.Join(err, m.unpark())
	if m.group != nil {
		err = errors.Join(err, m.group.Delete(ctx), m.group.Close()) // which Delete does not after an error
	}
	err = errors.Join(err, m.scope.stop(ctx))
	err = errors.Join(err, m.resctrl.Undo())
	if m.hooked {
		warn(m.Warn, m.hooks.poststop(ctx))
	}
	if m.mounts != nil { // poststop hooks see the rootfs
		err = errors.Join(err, m.mounts.Undo(), m.mounts.Close())
	}
	if m.lost {
		err = errors.Join(err, reapLost())
	}
	return err
}
