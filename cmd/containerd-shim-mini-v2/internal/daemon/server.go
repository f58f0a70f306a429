// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"io"
	"net"

	"github.com/containerd/ttrpc"
)

// newServer makes the server of a service.
func newServer(c *Config, service Service, l *life) (*ttrpc.Server, error) {
	intercept := newTrimmer().intercept(l.intercept(c.Intercept))
	server, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(l), ttrpc.WithUnaryServerInterceptor(intercept))
	if err != nil {
		return nil, err
	}
	service.Register(server)
	return server, nil
}

// serve accepts connections until the listener is closed. The server is given each
// connection by a listener of its own: the requests of a connection have the context
// that its listener was served with, and so the service can tell them apart.
func serve(server *ttrpc.Server, l net.Listener, service Service) error {
	for {
		one := &oneConn{Listener: l}
		err := server.Serve(service.Connected(context.Background()), one)
		if !one.accepted {
			return err
		}
	}
}

// oneConn is a listener that accepts one connection. Close leaves the listener
// behind it open.
type oneConn struct {
	net.Listener
	accepted bool
}

// Accept returns the connection, and io.EOF the second time.
func (o *oneConn) Accept() (net.Conn, error) {
	if o.accepted {
		return nil, io.EOF
	}
	conn, err := o.Listener.Accept()
	o.accepted = err == nil
	return conn, err
}

// Close does nothing.
func (o *oneConn) Close() error { return nil }
