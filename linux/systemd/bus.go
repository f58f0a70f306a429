// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/godbus/dbus/v5"
)

const (
	busSocket     = "/run/dbus/system_bus_socket"
	privateSocket = "/run/systemd/private" // systemd's own, for root
	booted        = "/run/systemd/system"  // sd_booted(3)
)

// bus is a connection to systemd, shared by all who use it at a time.
type bus struct {
	conn *dbus.Conn
	// direct: to systemd itself, no bus daemon between. It tells of all its jobs
	// unasked, and nobody is there to be asked for signals.
	direct bool
	users  int // guarded by Manager.mu
}

// errNobody is a bus that is not there, or does not take us.
var errNobody = errors.New("no bus")

// connect connects to systemd: over the system bus, or where there is none to its
// own socket.
func connect(ctx context.Context) (_ *bus, err error) {
	if _, err := os.Stat(booted); err != nil {
		return nil, fmt.Errorf("systemd is not the init of this host: %w", errdefs.ErrNotImplemented)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("connect to systemd: %w", err)
		}
	}()
	b := new(bus)
	socket, err := dial(ctx, busSocket)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		var second error
		if socket, second = dial(ctx, privateSocket); second == nil {
			b.direct, err = true, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w: %w", errNobody, err, errdefs.ErrUnavailable)
	}
	deadline, _ := ctx.Deadline()
	if err := socket.SetDeadline(deadline); err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	if b.conn, err = dbus.NewConn(socket); err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	if err := b.greet(socket); err != nil {
		return nil, errors.Join(err, b.conn.Close())
	}
	return b, nil
}

// greet says who we are, before the deadline that the socket has.
func (b *bus) greet(socket net.Conn) error {
	if err := b.conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))}); err != nil {
		if broken := new(net.OpError); errors.Is(err, io.EOF) || errors.As(err, &broken) {
			return fmt.Errorf("%w: %w", err, errdefs.ErrUnavailable)
		}
		return fmt.Errorf("%w: %w: %w", errNobody, err, errdefs.ErrUnavailable)
	}
	if !b.direct {
		if err := b.conn.Hello(); err != nil {
			return classify(err)
		}
	}
	return socket.SetDeadline(time.Time{})
}

// dial connects to a socket. Where many do at once its queue may be full for a
// moment, which is EAGAIN.
func dial(ctx context.Context, path string) (net.Conn, error) {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		socket, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if !errors.Is(err, syscall.EAGAIN) {
			return socket, err
		}
		if pause(ctx, wait) != nil {
			return nil, err
		}
	}
}

// pause waits, unless ctx ends first, which is its error.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// call calls a method of systemd's manager, and stores what it returns.
func (b *bus) call(ctx context.Context, method string, results []any, args ...any) error {
	return b.object(ctx, object, interfaze+"."+method, results, args...)
}

// object calls a method of any object of systemd's.
func (b *bus) object(ctx context.Context, path dbus.ObjectPath, method string, results []any, args ...any) error {
	return classify(b.conn.Object(service, path).CallWithContext(ctx, method, 0, args...).Store(results...))
}

// property reads a property of an object.
func (b *bus) property(ctx context.Context, path dbus.ObjectPath, kind, name string) (v dbus.Variant, err error) {
	err = b.object(ctx, path, "org.freedesktop.DBus.Properties.Get", []any{&v}, service+"."+kind, name)
	return v, err
}

// watch has signals of systemd's come that tell of the end of the unit's jobs,
// and of no other's: the host may have many. stop ends it.
func (b *bus) watch(ctx context.Context, unit string) (_ <-chan *dbus.Signal, stop func(), err error) {
	signals := make(chan *dbus.Signal, 16)
	b.conn.Signal(signals)
	match := []dbus.MatchOption{
		dbus.WithMatchSender(service), dbus.WithMatchInterface(interfaze), dbus.WithMatchMember("JobRemoved"), dbus.WithMatchArg(2, unit),
	}
	if !b.direct {
		if err := b.conn.AddMatchSignalContext(ctx, match...); err != nil {
			b.conn.RemoveSignal(signals)
			return nil, nil, classify(err)
		}
	}
	return signals, func() {
		b.conn.RemoveSignal(signals)
		if !b.direct {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = b.conn.RemoveMatchSignalContext(last, match...) // fails when the connection did, and is of no use then
		}
	}, nil
}
