// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/containerd/errdefs"
)

// hungHomes is how many look-ups of HOME may hang at a time in one container's files:
// each keeps a thread and a few descriptors of the shim, which nobody can take from it
// while the container's file system does not answer.
const hungHomes = 4

// homeLimit is how long one is waited for.
const homeLimit = 10 * time.Second

// homes are the look-ups of HOME in one container's files that go on.
type homes chan struct{}

func newHomes() homes { return make(homes, hungHomes) }

// of is homeOf that ends with ctx, or after homeLimit: the look-up may go on then, and
// counts until it ends. ErrUnavailable: too many do.
func (h homes) of(ctx context.Context, root *os.File, uid uint32) (string, error) {
	limit := fmt.Errorf("/etc/passwd of the container does not answer: %w", errdefs.ErrUnavailable)
	ctx, cancel := context.WithTimeoutCause(ctx, homeLimit, limit)
	defer cancel()
	select {
	case h <- struct{}{}:
	case <-ctx.Done():
		return "", fmt.Errorf("look HOME up: %w", context.Cause(ctx))
	}
	found := make(chan string, 1)
	go func() {
		defer func() { <-h }()
		found <- homeOf(root, uid)
	}()
	select {
	case home := <-found:
		return home, nil
	case <-ctx.Done():
		return "", fmt.Errorf("look HOME up: %w", context.Cause(ctx))
	}
}
