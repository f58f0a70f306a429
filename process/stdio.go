// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/containerd/log"

	"github.com/containerd-mini/mini/linux/relay"
)

// Stdio holds a process's streams as containerd names them: URIs, or "" for /dev/null.
// With a terminal there is no stderr.
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

// streams are the shim's ends of a process's stdio, and what moves the bytes between
// them and whoever reads and writes. The container's ends are child.
//
//	openStreams -> started | abort;  started -> exited -> close
//
// closeStdin may come at any time.
type streams struct {
	child   [3]*os.File // the container's ends, nil for /dev/null; closed by started and abort
	outputs []*output
	input   *input    // or nil
	logger  *logger   // or nil
	term    *terminal // or nil; outputs and input are its
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
		s.term = newTerminal(s)
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
	src, kept, err := openInput(in.path)
	if err != nil {
		return err
	}
	var dst *os.File
	if !cfg.Terminal {
		if s.child[0], dst, err = relay.Pipe(); err != nil {
			closeAll(src, kept)
			return err
		}
	}
	if s.input, err = newInput(src, kept, dst); err != nil {
		return err
	}
	return chown(s.child[0], cfg)
}

// openOutputs opens stdout and stderr. Of two names of one file or fifo it is one
// output: what is written comes in its order, by one writer.
func (s *streams) openOutputs(cfg *streamsConfig, out, stderr endpoint) error {
	var first *sink
	for i, e := range []endpoint{out, stderr} {
		if e.scheme == schemeNone {
			continue
		}
		k, err := openSink(e)
		if err != nil {
			return fmt.Errorf("open %s: %w", outputNames[i], err)
		}
		if first != nil && first.same(k) {
			k.close()
			s.child[2] = s.child[1]
			continue
		}
		first = k
		if s.child[i+1], err = s.addOutput(k, cfg, outputNames[i]); err != nil {
			return err
		}
	}
	return nil
}

var outputNames = [...]string{"stdout", "stderr"}

// addOutput takes ownership of the sink, and returns the container's end, which a
// terminal does not have.
func (s *streams) addOutput(k *sink, cfg *streamsConfig, name string) (child *os.File, err error) {
	var src *os.File
	if !cfg.Terminal {
		if src, child, err = relay.Pipe(); err != nil {
			k.close()
			return nil, err
		}
	}
	o, err := newOutput(k, src, name)
	if err != nil {
		closeAll(child)
		return nil, err
	}
	s.outputs = append(s.outputs, o)
	return child, chown(child, cfg)
}

// started gives the container's ends up, now that the process has them, so that
// their last close is the container's, and begins to move bytes.
func (s *streams) started(console *os.File) {
	s.closeChild()
	if s.term != nil {
		s.term.start(console)
		return
	}
	for _, o := range s.outputs {
		o.start(nil)
	}
	if s.input != nil {
		s.input.start(nil, nil)
	}
}

// exited is called once the process is dead and before anybody is told: the
// output is moved to its end and given a moment to be read, for containerd's client
// stops reading when it learns of the exit.
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
		o.close()
	}
	if s.input != nil {
		s.input.stop()
	}
	if s.logger != nil {
		s.logger.stop()
	}
}

// abort releases everything of a process that never was.
func (s *streams) abort() error {
	s.closeChild()
	for _, o := range s.outputs {
		o.abort()
	}
	if s.input != nil {
		s.input.stop()
	}
	if s.logger != nil {
		s.logger.kill()
	}
	return nil
}

// closeStdin is idempotent.
func (s *streams) closeStdin() error {
	if s.input == nil {
		return nil
	}
	return s.input.closeStdin()
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

// chown gives the container's end of a pipe to the owner that the options ask for, so
// that the container's user can open /dev/stderr anew. Without them package linux gives
// it to that user.
func chown(f *os.File, cfg *streamsConfig) error {
	if f == nil || cfg.UID == 0 && cfg.GID == 0 {
		return nil
	}
	return f.Chown(cfg.UID, cfg.GID)
}
