// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/containerd-mini/mini/integration/bed"
)

// options of the command line.
type options struct {
	runtime string
	run     *regexp.Regexp
	class   string
	// dir has what the build makes, and the directory log.
	dir       string
	log       string
	built     bool
	onlyBuild bool
	alone     time.Duration
	limit     time.Duration
	parallel  int
}

// errWorse tells that the runtime did worse than the baseline; the table has
// said how.
var errWorse = errors.New("worse than the baseline")

func main() {
	o, err := parse()
	if err == nil {
		err = start(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "clientsuite:", err)
		os.Exit(1)
	}
}

func parse() (options, error) {
	var o options
	var run string
	flag.StringVar(&o.runtime, "runtime", "io.containerd.mini.v2", "runtime to test")
	flag.StringVar(&run, "run", "", "run the tests whose name matches this regular expression (default: all)")
	flag.StringVar(&o.class, "class", "", "run the tests of this class of baseline.txt (default: all)")
	flag.BoolVar(&o.built, "built", false, "build nothing: the directory of this program has everything")
	flag.BoolVar(&o.onlyBuild, "build", false, "build, and run nothing")
	flag.StringVar(&o.log, "log", "", "directory for the logs (default: log/RUNTIME beside what is built)")
	flag.DurationVar(&o.alone, "alone", 0, "run each test in a daemon of its own, for at most this long")
	flag.DurationVar(&o.limit, "timeout", 10*time.Minute, "end the suite after this long")
	flag.IntVar(&o.parallel, "parallel", 4, "tests that may run at once, of those that allow it")
	flag.Parse()
	var err error
	if o.run, err = regexp.Compile(run); err != nil {
		return o, err
	}
	if os.Geteuid() != 0 {
		return o, errors.New("needs root")
	}
	o.dir, err = directory(o.built)
	if o.log == "" {
		o.log = filepath.Join(o.dir, "log", o.runtime)
	}
	return o, err
}

// directory is where what is built is.
func directory(built bool) (string, error) {
	if built {
		self, err := os.Executable()
		return filepath.Dir(self), err
	}
	root, err := bed.Root()
	return filepath.Join(root, "bin/clientsuite"), err
}

// lock waits until no other run builds into the directory or uses it. The lock
// goes with this process.
func lock(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	fd, err := syscall.Open(filepath.Join(dir, ".lock"), syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir + "/.lock", Err: err}
	}
	if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil {
		return os.NewSyscallError("flock", err)
	}
	return nil
}

// start builds, and runs the suite in the bed.
func start(o options) error {
	prepare := func() error {
		if err := lock(o.dir); err != nil || o.built {
			return err
		}
		return build(o.dir)
	}
	if o.onlyBuild {
		return prepare()
	}
	inside, code := bed.Enter(prepare)
	if !inside {
		os.Exit(code)
	}
	s, err := newSuite(o)
	if err != nil {
		return err
	}
	defer s.registry.Close()
	return s.run()
}
