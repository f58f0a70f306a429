// SPDX-License-Identifier: Apache-2.0

// Package integration tests the shim through a real containerd, one file for
// each concern. Package bed says in what surroundings.
//
// Every test that runc can pass as well runs on it too, as the oracle: what a
// test asserts is then what containerd's users have today, not what we think
// they should have.
package integration

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

const (
	mini = "io.containerd.mini.v2"
	runc = "io.containerd.runc.v2"

	shimPackage = "./cmd/containerd-shim-mini-v2"

	// testTimeout bounds the calls of one test. Nothing here takes more than a
	// few seconds on an idle machine. In the virtual machine it is longer.
	testTimeout = 90 * time.Second
)

// daemon is the containerd that the tests share.
var daemon *bed.Daemon

// TestMain gets into the bed. Variables of the environment: RUNTIMES, the
// runtimes to test (default: both); MINI_SHIM=race for a shim with the race
// detector; MINI_DEBUG=1 for debug logs.
func TestMain(m *testing.M) {
	if os.Getenv(lockHelper) != "" {
		lockAndCount()
	}
	if os.Getenv(goProcsEnv) != "" {
		printGoProcs()
	}
	flag.Parse()
	if os.Geteuid() != 0 {
		os.Exit(m.Run()) // every test says that it needs root
	}
	inside, code := bed.Enter(buildShims)
	if !inside {
		os.Exit(code)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	root, err := bed.Root()
	if err == nil {
		daemon, err = bed.Start(context.Background(), config(root, shimsDir("test")))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	code := m.Run()
	if log := daemon.Log(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic: ") {
		fmt.Fprintln(os.Stderr, "integration: a shim raced or panicked; containerd's log:\n"+tail(log))
		code = 1
	}
	if err := daemon.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	return code
}

// config is that of a containerd whose shims are in the directory.
func config(root, shims string) bed.Config {
	return bed.Config{
		Root: root, ShimDirs: []string{root + "/" + shims}, Debug: os.Getenv("MINI_DEBUG") == "1",
		Env: []string{"GORACE=atexit_sleep_ms=0"}, // else each run of a shim takes a second more
	}
}

// shimsDir is where the shims of a kind are, below the root: "test", or "fault" with
// the fault points. Those of a run with the race detector are apart, so that it can
// go beside one without.
func shimsDir(kind string) string {
	if os.Getenv("MINI_SHIM") == "race" {
		return "bin/race/" + kind
	}
	return "bin/" + kind
}

// buildShims builds the shim as it is released, or with the race detector, and
// once more with the fault points.
func buildShims() error {
	// In a virtual machine there is no Go: scripts/test-vm has built them.
	if !slices.Contains(runtimes(), mini) || testenv.InVM() {
		return nil
	}
	root, err := bed.Root()
	if err != nil {
		return err
	}
	const name = "/containerd-shim-mini-v2"
	if os.Getenv("MINI_SHIM") == "race" {
		err = bed.BuildRace(root, shimPackage, shimsDir("test")+name)
	} else {
		err = bed.Build(root, shimPackage, shimsDir("test")+name)
	}
	if err != nil {
		return err
	}
	return bed.Build(root, shimPackage, shimsDir("fault")+name, "faultpoint")
}

// runtimes are those to test.
func runtimes() []string {
	if v := os.Getenv("RUNTIMES"); v != "" {
		return strings.Split(v, ",")
	}
	return []string{mini, runc}
}

// each runs the test on every runtime, and then looks for what is left behind.
func each(t *testing.T, test func(t *testing.T, h *harness)) {
	t.Helper()
	testenv.Root(t)
	for _, name := range runtimes() {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(name, "io.containerd."), ".v2"), func(t *testing.T) {
			test(t, newHarness(t, name, daemon))
		})
	}
}

// eachIfFull is each where every combination is to be tested, or RUNTIMES says on
// what; else it runs the test on mini alone. It is for what takes long, in the
// virtual machine above all, and has a sister that always runs on both.
func eachIfFull(t *testing.T, test func(t *testing.T, h *harness)) {
	t.Helper()
	if testenv.Full() || os.Getenv("RUNTIMES") != "" {
		each(t, test)
		return
	}
	t.Run("mini", func(t *testing.T) { miniOnly(t, test) })
}

// miniOnly runs a test of what runc cannot do, or does otherwise.
func miniOnly(t *testing.T, test func(t *testing.T, h *harness)) {
	t.Helper()
	testenv.Root(t)
	if !slices.Contains(runtimes(), mini) {
		t.Skipf("%s is not in RUNTIMES", mini)
	}
	test(t, newHarness(t, mini, daemon))
}
