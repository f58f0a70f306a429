// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/containerd/log"
)

// Stdio is what a process is connected to, as containerd asks for it: URIs, or
// "" for /dev/null. With a terminal there is no stderr.
type Stdio struct {
	Stdin, Stdout, Stderr string
	Terminal              bool
}

// streamsConfig says what openStreams is to open.
type streamsConfig struct {
	Stdio
	ID        string // of the process, told to a binary logger
	Namespace string
	UID, GID  int // owner of what the container gets; 0, 0: as it is
}

// streams are the shim's ends of a process's stdio. The container's ends are
// child; the kernel moves the bytes between them and whoever reads, and the shim
// only for a terminal.
//
//	openStreams -> started | abort;  started -> exited -> close
//
// closeStdin may come at any time.
type streams struct {
	child   [3]*os.File // the container's ends, nil for /dev/null; closed by started and abort
	outputs []*output   // fifos that we keep a read end of
	logger  *logger     // or nil
	term    *terminal   // or nil

	mu    sync.Mutex
	stdin *os.File // guarded by mu; write end of the stdin fifo, kept against an early end
}

// openStreams opens everything the URIs name.
func openStreams(ctx context.Context, cfg *streamsConfig) (_ *streams, err error) {
	s := &streams{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.abort())
		}
	}()
	if err := s.openStdin(cfg); err != nil {
		return nil, fmt.Errorf("open stdin: %w", err)
	}
	out, err := parseEndpoint(cfg.Stdout)
	if err != nil {
		return nil, err
	}
	stderr, err := parseEndpoint(cfg.Stderr)
	if err != nil {
		return nil, err
	}
	if cfg.Terminal {
		// containerd sends a stderr with a terminal too; there is none to connect.
		stderr = endpoint{}
	}
	switch {
	case out.isBinary():
		if cfg.Stderr != "" && cfg.Stderr != cfg.Stdout && !cfg.Terminal {
			return nil, badURI(cfg.Stderr, "stdout's binary takes stderr too")
		}
		err = s.openLogger(ctx, cfg, out)
	case stderr.isBinary():
		err = badURI(cfg.Stderr, "a binary must take stdout too")
	default:
		err = s.openOutputs(cfg, out, stderr)
	}
	if err != nil {
		return nil, err
	}
	if cfg.Terminal {
		s.term = newTerminal(s.child[0], s.child[1])
		s.child = [3]*os.File{}
	}
	return s, nil
}

func (s *streams) openStdin(cfg *streamsConfig) error {
	in, err := parseEndpoint(cfg.Stdin)
	if err != nil || in.scheme == schemeNone {
		return err
	}
	if in.scheme != schemeFifo {
		return badURI(cfg.Stdin, "stdin must be a fifo")
	}
	s.child[0], s.stdin, err = openInput(in.path, cfg.Terminal)
	if err != nil {
		return err
	}
	return chown(s.child[0], cfg)
}

func (s *streams) openOutputs(cfg *streamsConfig, out, stderr endpoint) error {
	for i, e := range []endpoint{out, stderr} {
		slot := i + 1
		if slot == 2 && cfg.Stderr == cfg.Stdout {
			s.child[2] = s.child[1]
			continue
		}
		f, kept, err := openOutput(e, cfg)
		if err != nil {
			return fmt.Errorf("open %s: %w", [...]string{"stdout", "stderr"}[i], err)
		}
		s.child[slot] = f
		if kept != nil {
			s.outputs = append(s.outputs, kept)
		}
	}
	return nil
}

// started gives the container's ends up, now that the process has them, so that
// their last close is the container's, and begins to copy for a terminal.
func (s *streams) started(console *os.File) {
	s.closeChild()
	if s.term != nil {
		s.term.start(console)
	}
}

// exited is called once the process is dead and before anybody is told: the
// terminal's output is copied to its end and what lies in the fifos is given a
// moment to be read, for containerd's client stops reading when it learns of
// the exit.
func (s *streams) exited() {
	if s.term != nil {
		s.term.exited()
	}
	for _, o := range s.outputs {
		o.exited()
	}
}

// close releases everything; it waits, for a bounded time, until what the
// process wrote was taken.
func (s *streams) close() {
	if s.term != nil {
		s.term.close()
	}
	for _, o := range s.outputs {
		o.drain(deletePatience, deleteLimit)
		o.close()
	}
	if s.logger != nil {
		s.logger.stop()
	}
	if err := s.closeStdin(); err != nil {
		log.L.WithError(err).Warn("close stdin")
	}
}

// abort releases everything of a process that never was.
func (s *streams) abort() error {
	s.closeChild()
	if s.term != nil {
		s.term.abort()
	}
	for _, o := range s.outputs {
		o.close()
	}
	if s.logger != nil {
		s.logger.kill()
	}
	return s.closeStdin()
}

// closeStdin is idempotent.
func (s *streams) closeStdin() error {
	s.mu.Lock()
	f := s.stdin
	s.stdin = nil
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f.Close()
}

func (s *streams) closeChild() {
	for i, f := range s.child {
		if f == nil || i == 2 && f == s.child[1] {
			continue
		}
		if err := f.Close(); err != nil {
			log.L.WithError(err).Warn("close the container's end of a stream")
		}
	}
	s.child = [3]*os.File{}
}

// chown gives f to the owner that the options ask for, so that the container's
// user can open /dev/stderr anew.
func chown(f *os.File, cfg *streamsConfig) error {
	if f == nil || cfg.UID == 0 && cfg.GID == 0 {
		return nil
	}
	return f.Chown(cfg.UID, cfg.GID)
}
