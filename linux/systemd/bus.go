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

// bus is a connection to systemd, shared by its current users.
type bus struct {
	conn *dbus.Conn
	// direct means that no bus daemon is between us and systemd. Then systemd sends
	// the signals of all its jobs, and there is nobody to ask for fewer.
	direct bool
	users  int // guarded by Manager.mu
}

// errNobody says that there is no bus, or that it does not accept us.
var errNobody = errors.New("no bus")

// connect connects to systemd over the system bus or, if there is none, to systemd's own
// socket.
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

// greet authenticates us, within the socket's deadline, and removes the deadline.
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

// dial connects to a socket. It tries again on EAGAIN: the socket's queue may be full
// for a moment if many processes connect at once.
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

// pause waits for d, or returns the error of ctx if that ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// call calls a method of systemd's manager and stores its results.
func (b *bus) call(ctx context.Context, method string, results []any, args ...any) error {
	return b.object(ctx, object, managerInterface+"."+method, results, args...)
}

// object calls a method of any of systemd's objects.
func (b *bus) object(ctx context.Context, path dbus.ObjectPath, method string, results []any, args ...any) error {
	return classify(b.conn.Object(service, path).CallWithContext(ctx, method, 0, args...).Store(results...))
}

// property reads a property of an object.
func (b *bus) property(ctx context.Context, path dbus.ObjectPath, kind, name string) (v dbus.Variant, err error) {
	err = b.object(ctx, path, "org.freedesktop.DBus.Properties.Get", []any{&v}, service+"."+kind, name)
	return v, err
}

// watch subscribes to the signals about the end of the unit's jobs. It leaves out those of
// other units: the host may have many. stop ends the subscription.
func (b *bus) watch(ctx context.Context, unit string) (_ <-chan *dbus.Signal, stop func(), err error) {
	signals := make(chan *dbus.Signal, 16)
	b.conn.Signal(signals)
	match := []dbus.MatchOption{
		dbus.WithMatchSender(service),
		dbus.WithMatchInterface(managerInterface),
		dbus.WithMatchMember("JobRemoved"),
		dbus.WithMatchArg(2, unit),
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
			// An error means that the connection broke, which ends the match too.
			_ = b.conn.RemoveMatchSignalContext(last, match...)
		}
	}, nil
}
