// SPDX-License-Identifier: Apache-2.0

package bed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd-mini/mini/integration/testenv"
)

// stageEnv says which of the three processes of the package comment this is.
const stageEnv = "MINI_BED"

// cgroupPrefix and the outer's pid name the bed's cgroup.
const cgroupPrefix = "mini-bed-"

// Enter gets the process into the bed. It returns true inside; where it
// returns false the bed has come and gone, and the caller exits with code.
// prepare runs outside, before the bed is made: there is a network and a Go
// build cache.
func Enter(prepare func() error) (inside bool, code int) {
	if Scopes() {
		if err := enterHost(); err != nil {
			fmt.Fprintln(os.Stderr, "bed:", err)
			return false, 1
		}
		return true, 0
	}
	var err error
	switch os.Getenv(stageEnv) {
	case "inside":
		return true, 0
	case "init":
		code, err = initMain()
	default:
		if err = prepare(); err == nil {
			code, err = outerMain()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bed:", err)
		code = 1
	}
	return false, code
}

// outerMain makes the cgroup and init, waits for it, and removes the cgroup.
func outerMain() (code int, err error) {
	root, err := testenv.CgroupRoot()
	if err != nil {
		return 0, err
	}
	removeStale(root)
	dir := filepath.Join(root, cgroupPrefix+strconv.Itoa(os.Getpid()))
	if err := os.MkdirAll(filepath.Join(dir, "leaf"), 0o755); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, testenv.RemoveCgroup(dir)) }()
	cgroup, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer cgroup.Close()

	// The death signal is of the thread that started the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := again("init")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		UseCgroupFD: true,
		CgroupFD:    int(cgroup.Fd()),
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for range signals {
			_ = cmd.Process.Kill() // pid 1 of the bed: all processes inside end with it
		}
	}()
	err = cmd.Wait()
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// again is this program with the same arguments, as another stage.
func again(stage string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), stageEnv+"="+stage)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

// removeStale removes the cgroups of beds whose outer was killed.
func removeStale(root string) {
	dirs, _ := filepath.Glob(filepath.Join(root, cgroupPrefix+"*"))
	for _, dir := range dirs {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), cgroupPrefix))
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			if err := testenv.RemoveCgroup(dir); err != nil {
				fmt.Fprintln(os.Stderr, "bed:", err)
			}
		}
	}
}
