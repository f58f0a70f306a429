// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/godbus/dbus/v5"
)

const (
	busSocket = "/run/dbus/system_bus_socket"
	booted    = "/run/systemd/system" // sd_booted(3)

	service   = "org.freedesktop.systemd1"
	object    = dbus.ObjectPath("/org/freedesktop/systemd1")
	interfaze = "org.freedesktop.systemd1.Manager"

	// Patience is how long a call waits for systemd at most.
	Patience = 30 * time.Second
)

// Manager is systemd, as the system bus shows it. The zero value is ready; it
// holds one connection from its first call to Close. Safe for concurrent use.
type Manager struct {
	mu   sync.Mutex
	conn *dbus.Conn // nil before the first call
}

// Close ends the connection. A later call makes another one.
func (m *Manager) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn == nil {
		return nil
	}
	err := m.conn.Close()
	m.conn = nil
	return err
}

// connection is the open one, or a new one.
func (m *Manager) connection(ctx context.Context) (*dbus.Conn, error) {
	m.mu.Lock()
	conn := m.conn
	m.mu.Unlock()
	if conn != nil && conn.Connected() {
		return conn, nil
	}
	conn, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != nil && m.conn.Connected() { // somebody was faster
		_ = conn.Close()
		return m.conn, nil
	}
	m.conn = conn
	return conn, nil
}

// connect dials the system bus, and asks systemd for its signals.
func connect(ctx context.Context) (_ *dbus.Conn, err error) {
	if _, err := os.Stat(booted); err != nil {
		return nil, fmt.Errorf("systemd is not the init of this host: %w", errdefs.ErrNotImplemented)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("connect to systemd: %w", err)
		}
	}()
	socket, err := new(net.Dialer).DialContext(ctx, "unix", busSocket)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrUnavailable)
	}
	deadline, _ := ctx.Deadline()
	if err := socket.SetDeadline(deadline); err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	conn, err := dbus.NewConn(socket)
	if err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	for _, step := range []func() error{
		func() error { return conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))}) },
		conn.Hello,
		func() error { return conn.Object(service, object).CallWithContext(ctx, interfaze+".Subscribe", 0).Err },
		func() error { return socket.SetDeadline(time.Time{}) },
	} {
		if err := step(); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// call calls a method of systemd's on the connection, and stores what it returns.
func call(ctx context.Context, conn *dbus.Conn, method string, results []any, args ...any) error {
	err := conn.Object(service, object).CallWithContext(ctx, interfaze+"."+method, 0, args...).Store(results...)
	return classify(err)
}

// Error names of systemd's and of the bus's, and what they are to containerd.
var sentinels = map[string]error{
	"org.freedesktop.systemd1.NoSuchUnit":               errdefs.ErrNotFound,
	"org.freedesktop.systemd1.UnitExists":               errdefs.ErrAlreadyExists,
	"org.freedesktop.DBus.Error.InvalidArgs":            errdefs.ErrInvalidArgument,
	"org.freedesktop.DBus.Error.PropertyReadOnly":       errdefs.ErrInvalidArgument,
	"org.freedesktop.DBus.Error.UnknownProperty":        errdefs.ErrInvalidArgument,
	"org.freedesktop.DBus.Error.NotSupported":           errdefs.ErrNotImplemented,
	"org.freedesktop.DBus.Error.AccessDenied":           errdefs.ErrPermissionDenied,
	"org.freedesktop.DBus.Error.ServiceUnknown":         errdefs.ErrUnavailable,
	"org.freedesktop.DBus.Error.NoReply":                errdefs.ErrUnavailable,
	"org.freedesktop.DBus.Error.Timeout":                errdefs.ErrUnavailable,
	"org.freedesktop.systemd1.ShuttingDown":             errdefs.ErrUnavailable,
	"org.freedesktop.systemd1.TransactionIsDestructive": errdefs.ErrUnavailable,
}

// classify gives an answer of systemd's its sentinel.
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
	case errors.Is(err, dbus.ErrClosed):
		return fmt.Errorf("%w: %w", err, errdefs.ErrUnavailable)
	}
	return err
}
