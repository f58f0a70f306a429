// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/containerd-mini/mini/integration/testenv"
)

// loggerURI is a logger that is a shell script.
func loggerURI(scheme, script string) string {
	return scheme + ":///bin/sh?-c=" + strings.ReplaceAll(url.QueryEscape(script), "+", "%20")
}

func TestLoggerGetsBothStreamsToTheirEnd(t *testing.T) {
	testenv.NoLeaks(t)
	dir := t.TempDir()
	uri := loggerURI("binary", "echo $CONTAINER_ID $CONTAINER_NAMESPACE $(env | wc -l) >"+dir+"/env; exec 5>&-; "+
		"cat <&3 >"+dir+"/out & cat <&4 >"+dir+"/err; wait; echo done >"+dir+"/done")
	s := openTest(t, Stdio{Stdout: uri, Stderr: uri})
	if err := container(t, s, "seq 50000; echo oops >&2").Wait(); err != nil {
		t.Fatal(err)
	}
	s.exited()
	s.close()
	for name, want := range map[string]string{"err": "oops\n", "done": "done\n"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	out, err := os.ReadFile(filepath.Join(dir, "out"))
	if err != nil || strings.Count(string(out), "\n") != 50000 {
		t.Errorf("stdout: %d lines, %v", strings.Count(string(out), "\n"), err)
	}
	// The shell adds PWD; else the two variables are all there is.
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil || string(env) != "id ns 3\n" {
		t.Errorf("environment: got %q, %v", env, err)
	}
}

func TestLoggerReadiness(t *testing.T) {
	testenv.NoLeaks(t)
	for name, c := range map[string]struct {
		uri string
		err error
	}{
		"closing is enough":               {loggerURI("binary", "exec 5>&-; cat <&3"), nil},
		"so is ending":                    {loggerURI("binary", "exit 1"), nil},
		"v2, a byte":                      {loggerURI("binary-v2", "printf x >&5; exec 5>&-; cat <&3"), nil},
		"v2, closing is not":              {loggerURI("binary-v2", "exec 5>&-; cat <&3"), errdefs.ErrFailedPrecondition},
		"v2, nor is ending":               {loggerURI("binary-v2", "exit 0"), errdefs.ErrFailedPrecondition},
		"a program that is not there":     {"binary:///nonexistent/logger", errdefs.ErrNotFound},
		"a file that is not a program":    {"binary:///etc/passwd", errdefs.ErrPermissionDenied},
		"one that never says anything":    {loggerURI("binary", "exec cat <&3"), context.DeadlineExceeded},
		"v2, that never says anything":    {loggerURI("binary-v2", "exec cat <&3"), context.DeadlineExceeded},
		"v2, a byte is enough, unclosed.": {loggerURI("binary-v2", "printf x >&5; exec cat <&3"), nil},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		s, err := openStreams(ctx, &streamsConfig{Stdio: Stdio{Stdout: c.uri, Stderr: c.uri}})
		cancel()
		if !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, want %v", name, err, c.err)
		}
		if err == nil {
			if err := s.abort(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestLoggerThatDoesNotEndIsEnded(t *testing.T) {
	testenv.NoLeaks(t)
	s := openTest(t, Stdio{Stdout: loggerURI("binary", "exec 5>&-; exec sleep 1000")})
	if err := container(t, s, "true").Wait(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	s.exited()
	s.close()
	if d := time.Since(start); d < loggerEOF || d > loggerEOF+loggerTerm/2 {
		t.Errorf("took %s, want SIGTERM after %s", d, loggerEOF)
	}
}
