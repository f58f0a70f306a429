// SPDX-License-Identifier: Apache-2.0

package nofile_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd-mini/mini/linux/sys/nofile"
)

// TestLimit starts itself under a soft limit below the hard one: the syscall
// package raises it, and Limit still tells what it was.
func TestLimit(t *testing.T) {
	if os.Getenv("NOFILE_TEST") != "" {
		var now syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("limit %d:%d raised %v\n", nofile.Limit.Cur, nofile.Limit.Max, now.Cur > nofile.Limit.Cur)
		return
	}
	cmd := exec.Command("/bin/sh", "-c", `ulimit -Sn 123; ulimit -Hn 456; exec "$0" -test.run='^TestLimit$'`, os.Args[0])
	cmd.Env = append(os.Environ(), "NOFILE_TEST=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "limit 123:456 raised true\n") {
		t.Errorf("%v: %s", err, out)
	}
}
