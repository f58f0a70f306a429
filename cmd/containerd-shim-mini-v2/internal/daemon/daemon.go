// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/containerd/log"
	"github.com/containerd/ttrpc"

	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/host"
)

const (
	// closeTime is what the containers of a shim that has to end, and the events
	// of one that may, are given.
	closeTime = 3 * time.Second

	// answerTime is what answers that are on their way are given after that: the
	// one to Shutdown, mostly.
	answerTime = 300 * time.Millisecond

	// abandoned is the reason to end that nobody needs us any more.
	abandoned = "abandoned"

	// inherited is the descriptor of the socket that `start` made.
	inherited = 3
)

// Config is what a daemon is started with.
type Config struct {
	Name         string // of the process
	Namespace    string // containerd's
	TTRPCAddress string // of containerd's event service, a path
	Socket       string // path to listen on; "" takes descriptor 3
	DebugSocket  string // path to serve profiles on, if built with the tag pprof
	Debug        bool

	// Serve makes the service. shutdown is for it to call when it is done.
	Serve func(p *Publisher, shutdown func()) Service
	// Intercept stands around each request.
	Intercept ttrpc.UnaryServerInterceptor
}

// Service is what the daemon serves.
type Service interface {
	// Register enters the service in a server that does not run yet.
	Register(*ttrpc.Server)
	// Connected returns the context of all requests of a new connection.
	Connected(context.Context) context.Context
	// Close ends what is left and publishes what is left to say.
	Close(context.Context) error
}

// Run serves until there is a reason to end (see the package comment). The
// working directory is a bundle.
func Run(c *Config) error {
	go warmMessages()
	setLog(c.Debug)
	fault.Point("daemon.born")
	// First of all, so that whatever fails from here on leaves no socket behind.
	listener, err := listen(c.Socket)
	if err != nil {
		return err
	}
	defer listener.remove()
	if err := host.BecomeDaemon(c.Name); err != nil {
		return err
	}
	fault.Point("daemon.listening")
	if err := serveProfiles(c); err != nil {
		return err
	}

	reason, end := newReason()
	handleSignals(func(s os.Signal) { end("signal " + s.String()) })
	publisher := newPublisher(c.TTRPCAddress, c.Namespace)
	life := newLife(workingBundle(), graceTime, publisher.kick, func() { end(abandoned) })
	service := c.Serve(publisher, func() { end("shutdown") })
	server, err := newServer(c, service, life)
	if err != nil {
		return err
	}
	go func() {
		if err := serve(server, listener, service); !errors.Is(err, net.ErrClosed) {
			end(fmt.Sprintf("serve: %v", err))
		}
	}()

	fault.Point("daemon.serving")
	why := <-reason
	log.L.WithField("reason", why).Debug("shim ends")
	fault.Point("shutdown.asked")
	listener.remove()
	fault.Point("shutdown.socket-removed")
	err = closeService(service, why)
	fault.Point("shutdown.closed")
	life.awaitAnswers(answerTime)
	return err
}

// closeService gives the service closeTime; all the time it takes if nobody waits
// for us: what hangs in the kernel, on a mount whose server does not answer, can be
// undone by nobody else once it goes on.
func closeService(s Service, why string) error {
	ctx := context.Background()
	if why != abandoned {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, closeTime)
		defer cancel()
	}
	return s.Close(ctx)
}

// workingBundle is the working directory; "" if containerd has removed it by now.
// Another container of the group may have been sent to us meanwhile, so that this
// is no reason to end at once.
func workingBundle() string {
	dir, err := os.Getwd()
	if err != nil {
		log.L.WithError(err).Debug("find bundle")
		return ""
	}
	return dir
}

// newReason returns a channel that gives the first reason for which end is
// called. end does not wait.
func newReason() (reason <-chan string, end func(why string)) {
	first := make(chan string, 1)
	return first, func(why string) {
		select {
		case first <- why:
		default: // there is one already
		}
	}
}

// setLog sends the log to standard error in the format of containerd's shims.
func setLog(debug bool) {
	log.L.Logger.SetOutput(host.Stderr)
	level := log.InfoLevel
	if debug {
		level = log.DebugLevel
	}
	if err := errors.Join(log.SetFormat(log.TextFormat), log.SetLevel(level.String())); err != nil {
		log.L.WithError(err).Warn("set log")
	}
}
