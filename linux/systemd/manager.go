// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/godbus/dbus/v5"
)

const (
	service          = "org.freedesktop.systemd1"
	object           = dbus.ObjectPath("/org/freedesktop/systemd1")
	managerInterface = "org.freedesktop.systemd1.Manager"

	// patience bounds how long a call waits for systemd.
	patience = 30 * time.Second

	// linger is how long an unused connection is kept. The bus allows 256 for all
	// processes of a user (dbus-daemon(1), max_connections_per_user), and a host may
	// have more containers.
	linger = 2 * time.Second
)

// Manager is a client of systemd. It has one connection while somebody needs it. The zero
// value is ready to use. It is safe for concurrent use.
type Manager struct {
	mu   sync.Mutex
	bus  *bus        // guarded by mu; nil if not connected
	idle *time.Timer // guarded by mu; closes a bus without users
}

// use calls f with a connection. It calls f again if the connection broke or systemd was
// not at the other end, as when the bus or systemd restarts: f must allow that. It waits
// while the bus has too many connections.
func (m *Manager) use(ctx context.Context, f func(*bus) error) error {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		b, err := m.acquire(ctx)
		if err == nil {
			err = f(b)
			m.release(b)
		}
		if !interrupted(err) || pause(ctx, wait) != nil {
			return err
		}
	}
}

// acquire returns the current connection, or a new one. The caller releases it.
func (m *Manager) acquire(ctx context.Context) (*bus, error) {
	if b := m.share(nil); b != nil {
		return b, nil
	}
	b, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	return m.share(b), nil
}

// share counts another user of the current connection, or of the fresh one if there is no
// other.
func (m *Manager) share(fresh *bus) *bus {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bus != nil && !m.bus.conn.Connected() {
		m.bus = nil // it is closed already
	}
	switch {
	case m.bus == nil:
		m.bus = fresh
	case fresh != nil: // somebody was faster
		_ = fresh.conn.Close()
	}
	if m.bus != nil {
		m.bus.users++
	}
	return m.bus
}

// release ends one use of the connection. The last user's release closes it after linger.
func (m *Manager) release(b *bus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b.users--; b.users > 0 || m.bus != b {
		return
	}
	if m.idle != nil {
		m.idle.Stop()
	}
	m.idle = time.AfterFunc(linger, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.bus == b && b.users == 0 {
			_ = b.conn.Close()
			m.bus = nil
		}
	})
}

// sentinels maps error names of systemd and of the bus to containerd's errors.
var sentinels = map[string]error{
	"org.freedesktop.systemd1.NoSuchUnit":                         errdefs.ErrNotFound,
	"org.freedesktop.systemd1.UnitExists":                         errdefs.ErrAlreadyExists,
	"org.freedesktop.DBus.Error.InvalidArgs":                      errdefs.ErrInvalidArgument,
	"org.freedesktop.DBus.Error.PropertyReadOnly":                 errdefs.ErrInvalidArgument,
	"org.freedesktop.DBus.Error.UnknownProperty":                  errdefs.ErrInvalidArgument,
	"org.freedesktop.DBus.Error.NotSupported":                     errdefs.ErrNotImplemented,
	"org.freedesktop.DBus.Error.AccessDenied":                     errdefs.ErrPermissionDenied,
	"org.freedesktop.DBus.Error.ServiceUnknown":                   errdefs.ErrUnavailable,
	"org.freedesktop.DBus.Error.NameHasNoOwner":                   errdefs.ErrUnavailable,
	"org.freedesktop.DBus.Error.NoReply":                          errdefs.ErrUnavailable,
	"org.freedesktop.DBus.Error.Disconnected":                     errdefs.ErrUnavailable,
	"org.freedesktop.DBus.Error.LimitsExceeded":                   errdefs.ErrUnavailable,
	"org.freedesktop.DBus.Error.Timeout":                          errdefs.ErrUnavailable,
	"org.freedesktop.DBus.Error.InvalidSignature":                 errdefs.ErrInvalidArgument,
	"System.Error.ENXIO":                                          errdefs.ErrInvalidArgument, // a value of another type
	"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired": errdefs.ErrPermissionDenied,
	"org.freedesktop.systemd1.UnitMasked":                         errdefs.ErrFailedPrecondition,
	"org.freedesktop.systemd1.LoadFailed":                         errdefs.ErrFailedPrecondition,
	"org.freedesktop.systemd1.BadUnitSetting":                     errdefs.ErrFailedPrecondition,
	"org.freedesktop.systemd1.ShuttingDown":                       errdefs.ErrUnavailable,
	"org.freedesktop.systemd1.TransactionIsDestructive":           errdefs.ErrUnavailable,
}

// classify wraps an error of systemd with its sentinel.
func classify(err error) error {
	answer := dbus.Error{}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answer):
		if s := sentinels[answer.Name]; s != nil {
			return fmt.Errorf("%w: %w", err, s)
		}
		return fmt.Errorf("%s: %w", answer.Name, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("systemd does not answer: %w", err)
	}
	return fmt.Errorf("%w: %w", err, errdefs.ErrUnavailable) // of the connection
}

// interrupted reports whether the bus or systemd went away during a call. Another call may
// succeed.
func interrupted(err error) bool {
	answer := dbus.Error{}
	if !errors.As(err, &answer) {
		return errdefs.IsUnavailable(err) && !errors.Is(err, errJob) && !errors.Is(err, errNobody)
	}
	switch name, _ := strings.CutPrefix(answer.Name, "org.freedesktop.DBus.Error."); name {
	case "NoReply", "Disconnected", "ServiceUnknown", "NameHasNoOwner", "LimitsExceeded":
		return true
	default: // the bus tried to start it
		return strings.HasPrefix(name, "Spawn.")
	}
}
