// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// maxOOMScore is OOM_SCORE_ADJ_MAX of linux/oom.h.
const maxOOMScore = 1000

// FollowParentOOMScore makes this process and its children one step more likely than its
// parent to be killed when memory runs out.
//
// If the parent's score was lowered, setting ours to just above it needs CAP_SYS_RESOURCE.
// An unprivileged process, or root of a user namespace, then keeps its score.
func FollowParentOOMScore() error {
	score, err := oomScore(os.Getppid())
	if err != nil {
		return err
	}
	score = min(score+1, maxOOMScore)
	err = os.WriteFile("/proc/self/oom_score_adj", strconv.AppendInt(nil, int64(score), 10), 0)
	if errors.Is(err, fs.ErrPermission) && (unix.Geteuid() != 0 || sys.InUserNamespace()) {
		return nil
	}
	return err
}

func oomScore(pid int) (int, error) {
	path := fmt.Sprintf("/proc/%d/oom_score_adj", pid)
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	return score, nil
}
