// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/containerd-mini/mini/linux"
	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/relay"
)

// How long a logger is waited for.
const (
	// To say that it is ready, after which the container is refused.
	loggerReady = 30 * time.Second
	// To end by itself at the end of its input, which it has when the last
	// process holding the container's streams is dead; then to follow a SIGTERM,
	// as long as runc's shim gives it.
	loggerEOF  = 2 * time.Second
	loggerTerm = 10 * time.Second
)

// logger is a binary:// program. It reads stdout on fd 3 and stderr on fd 4 from
// pipes whose only other ends are the container's (or a terminal's relay's),
// and says on fd 5 when it is ready.
type logger struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it was reaped
}

// openLogger starts the logger and makes the write ends the container's streams.
func (s *streams) openLogger(ctx context.Context, cfg *streamsConfig, e endpoint) error {
	var readers, writers [2]*os.File
	defer func() {
		closeAll(readers[:]...)
		closeAll(writers[:]...)
	}()
	for i := range readers {
		var err error
		if readers[i], writers[i], err = relay.Pipe(); err != nil {
			return err
		}
		if err := chown(writers[i], cfg); err != nil {
			return err
		}
	}
	l, err := startLogger(ctx, cfg, e, readers)
	if err != nil {
		return fmt.Errorf("start logger %s: %w", e.path, err)
	}
	s.logger = l
	if cfg.Terminal { // stderr ends at once: there is no such stream
		k := newSink(writers[0], nil)
		writers[0] = nil
		_, err = s.addOutput(k, cfg, outputNames[0])
		return err
	}
	s.child[1], s.child[2] = writers[0], writers[1]
	writers = [2]*os.File{}
	return nil
}

// startLogger returns when the logger is ready. The caller keeps its files.
func startLogger(ctx context.Context, cfg *streamsConfig, e endpoint, in [2]*os.File) (*logger, error) {
	ctx, cancel := context.WithTimeout(ctx, loggerReady)
	defer cancel()
	ready, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer closeAll(ready)
	cmd := exec.Command(e.path, e.args...)
	cmd.Env = []string{"CONTAINER_ID=" + cfg.ID, "CONTAINER_NAMESPACE=" + cfg.Namespace}
	cmd.ExtraFiles = []*os.File{in[0], in[1], w}
	wait, err := linux.StartHelper(ctx, cmd)
	closeAll(w)
	if err != nil {
		return nil, coded(err)
	}
	l := &logger{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		if err := wait(); err != nil {
			log.L.WithError(err).WithField("logger", e.path).Debug("logger ended")
		}
	}()
	fault.Point("logger.started")
	if err := awaitReady(ctx, ready, e.scheme == schemeBinaryV2); err != nil {
		l.kill()
		return nil, err
	}
	fault.Point("logger.ready")
	return l, nil
}

// awaitReady reads the ready pipe. For binary its end is readiness, whoever
// closed it; for binary-v2 it is the logger's death.
func awaitReady(ctx context.Context, ready *os.File, strict bool) error {
	defer context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Now()) })()
	n, err := ready.Read(make([]byte, 1))
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("wait until it is ready: %w", ctx.Err())
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("wait until it is ready: %w", err)
	case strict && n == 0:
		return fmt.Errorf("it ended without saying that it is ready: %w", errdefs.ErrFailedPrecondition)
	}
	return nil
}

// stop lets the logger end by itself, asks it to, kills it.
func (l *logger) stop() {
	fault.Point("logger.stopping")
	if l.ended(loggerEOF) {
		return
	}
	err := l.cmd.Process.Signal(syscall.SIGTERM)
	if err == nil { // a stopped one would hear of it when it is too late
		err = l.cmd.Process.Signal(syscall.SIGCONT)
	}
	if err == nil && l.ended(loggerTerm) {
		return
	}
	log.L.WithField("logger", l.cmd.Path).Warn("logger does not end: killed")
	l.kill()
}

// kill returns when the logger is reaped.
func (l *logger) kill() {
	if err := l.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		log.L.WithError(err).WithField("logger", l.cmd.Path).Warn("kill logger")
	}
	<-l.done
}

func (l *logger) ended(within time.Duration) bool {
	select {
	case <-l.done:
		return true
	case <-time.After(within):
		return false
	}
}
