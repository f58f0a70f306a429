// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// childEnv turns the test binary into a container's first process.
const childEnv = "MINI_MOUNT_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		if err := child(3); err != nil {
			println(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	// The race detector makes each of the many processes wait a second at its end.
	if os.Getenv("GORACE") == "" {
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0") // slower without
	}
	os.Exit(testenv.Main(m))
}

// child makes the superblocks that the socket asks for, then runs shell scripts
// from it until it ends.
func child(sock int) error {
	buf := make([]byte, 1<<16)
	n, err := unix.Read(sock, buf)
	if err != nil || n == 0 { // the test needs none
		return err
	}
	var supers []Superblock
	if err := json.Unmarshal(buf[:n], &supers); err != nil {
		return err
	}
	var fds []int
	answer := "made"
	for i := range supers {
		fd, err := supers[i].make()
		if err != nil {
			answer, fds = supers[i].String()+": "+err.Error(), nil
			break
		}
		fds = append(fds, fd)
	}
	if err := unix.Sendmsg(sock, []byte(answer), unix.UnixRights(fds...), nil, 0); err != nil {
		return err
	}
	for {
		n, err := unix.Read(sock, buf)
		if err != nil || n == 0 {
			return err
		}
		out, err := exec.Command("/bin/sh", "-c", string(buf[:n])).CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			out = append(out, err.Error()...)
		}
		if _, err := unix.Write(sock, append(out, '.')); err != nil {
			return err
		}
	}
}
