// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/clientsuite/registry"
)

// grace is how long after the limit, of which the test binary knows, it is
// killed: a hang of its own start or end, or of its daemon.
const grace = 30 * time.Second

// startsAgain is how long the test binary is started again where it does not get to
// its first test, unless a quarter of the limit is longer. Ten times in 40 seconds were
// too few in a virtual machine whose host had other work for a minute.
const startsAgain = time.Minute

// testSuite is the suite in its surroundings.
type testSuite struct {
	options
	registry *registry.Registry
	baseline baseline
	mounts   map[string]bool // those of the surroundings
	all      []string        // every test that the binary has
	chosen   []string        // those to run
	left     []string        // what was left, a line each
}

func newSuite(o options) (*testSuite, error) {
	b, err := readBaseline(o.runtime)
	if err != nil {
		return nil, err
	}
	r, err := surround(o)
	if err != nil {
		return nil, err
	}
	s := &testSuite{options: o, registry: r, baseline: b}
	if s.mounts, err = bed.MountPoints(); err == nil {
		err = s.choose()
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return s, nil
}

// choose asks the binary for its tests, and keeps those that the command line
// asks for and that have what they need.
func (s *testSuite) choose() error {
	// With -test.short it starts no daemon.
	out, err := s.command(context.Background(), "-test.short", "-test.list", "^Test").Output()
	if err != nil {
		return fmt.Errorf("list the tests: %w", err)
	}
	for name := range strings.Lines(string(out)) {
		if name = strings.TrimSpace(name); !strings.HasPrefix(name, "Test") {
			continue
		}
		s.all = append(s.all, name)
		if s.asked(name) && s.baseline.missing(s.baseline.tests[name]) == "" {
			s.chosen = append(s.chosen, name)
		}
	}
	if len(s.chosen) == 0 {
		return errors.New("no test to run")
	}
	return nil
}

// command is the test binary, in its package's directory, as it were.
func (s *testSuite) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binDir+"/client.test", args...)
	cmd.Dir = binDir + "/package"
	cmd.WaitDelay = grace // a daemon may hold its output
	cmd.Env = []string{
		"PATH=" + binDir + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "TMPDIR=/tmp", "SSL_CERT_FILE=" + caFile, "SSL_CERT_DIR=/nonexistent",
		"TEST_RUNTIME=" + s.runtime,
	}
	return cmd
}

// execute runs the tests, for as long as the limit, and appends what they print
// to the log.
func (s *testSuite) execute(limit time.Duration, tests []string, log *os.File) error {
	args := []string{
		"-test.v=test2json", "-test.root", "-test.timeout", limit.String(), "-test.parallel", fmt.Sprint(s.parallel),
		"-test.run", "^(" + strings.Join(tests, "|") + ")$",
	}
	if skip := s.baseline.skippedSubtests(); skip != "" {
		args = append(args, "-test.skip", skip)
	}
	for first := time.Now(); ; {
		begin, err := log.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		if err := s.executeOnce(limit, args, log); err != nil {
			return err
		}
		// The suite gives its daemon 4 seconds to start, and ends before the
		// first test when it has not. That happens where everything is slow
		// and containerd comes from the disk for the first time.
		printed, err := io.ReadAll(io.NewSectionReader(log, begin, 1<<40))
		if err != nil || bytes.Contains(printed, []byte("=== RUN")) || time.Since(first) > max(limit/4, startsAgain) {
			return err
		}
		fmt.Fprintln(log, "the daemon did not start: again")
		time.Sleep(time.Second) // where it ended at once
	}
}

func (s *testSuite) executeOnce(limit time.Duration, args []string, log *os.File) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit+grace)
	defer cancel()
	cmd := s.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = log, log
	err := cmd.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil // some test failed: the output says which
	}
	return err
}

// run is the whole of it, inside.
func (s *testSuite) run() error {
	log, err := os.Create(logDir + "/test.txt")
	if err != nil {
		return err
	}
	defer log.Close()
	begin := time.Now()
	fmt.Printf("containerd's client suite with %s: %d of its %d tests\n", s.runtime, len(s.chosen), len(s.all))
	if err := s.groups(log); err != nil {
		return err
	}
	results, err := readResults(log.Name())
	if err != nil {
		return err
	}
	if err := s.again(results); err != nil {
		return err
	}
	if err := os.WriteFile(logDir+"/left.txt", []byte(strings.Join(append(s.left, ""), "\n")), 0o644); err != nil {
		return err
	}
	missing := strings.Join(append(s.registry.Missing(), ""), "\n")
	if err := os.WriteFile(logDir+"/registry.txt", []byte(missing), 0o644); err != nil {
		return err
	}
	return s.verdict(os.Stdout, results, time.Since(begin))
}

// groups runs the tests, all in one daemon or each in its own.
func (s *testSuite) groups(log *os.File) error {
	groups, limit := [][]string{s.chosen}, s.limit
	if s.alone > 0 {
		groups, limit = nil, s.alone
		for _, name := range s.chosen {
			groups = append(groups, []string{name})
		}
	}
	for _, tests := range groups {
		if err := s.execute(limit, tests, log); err != nil {
			fmt.Fprintf(log, "\n%s: %v\n", strings.Join(tests, " "), err)
		}
		if err := s.clean(); err != nil {
			return err
		}
	}
	return nil
}

// mostAgain is how often a test is run again that no runtime under test has to do with.
// TestTransferImport of containerd 2.4 has failed twice in a row.
const mostAgain = 3

// again runs what failed once more, alone, where no runtime under test is
// concerned.
func (s *testSuite) again(results map[string]*result) error {
	for _, name := range s.chosen {
		e, r := s.baseline.tests[name], results[name]
		if e.class != "none" && e.class != "fixed-runc" || r == nil {
			continue
		}
		for range mostAgain {
			if r.status != "FAIL" {
				break
			}
			passes, err := s.passesAlone(name)
			if err != nil {
				return err
			}
			if passes {
				r.status = "FLAKY"
			}
		}
	}
	return nil
}

// passesAlone runs one test, and reports whether it passes.
func (s *testSuite) passesAlone(name string) (bool, error) {
	path := filepath.Join(logDir, name+".txt")
	log, err := os.Create(path)
	if err != nil {
		return false, err
	}
	if err := s.execute(s.limit, []string{name}, log); err != nil {
		fmt.Fprintln(log, err)
	}
	if err := errors.Join(log.Close(), s.clean()); err != nil {
		return false, err
	}
	results, err := readResults(path)
	if err != nil {
		return false, err
	}
	r := results[name]
	return r != nil && r.status == "PASS", nil
}
