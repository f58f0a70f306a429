// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"strings"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
)

// TestSessionKeyring: a container has a session keyring of its own, unless the
// option says otherwise. Its user's keyrings are to be seen in the host's
// /proc/keys (keyrings(7)).
func TestSessionKeyring(t *testing.T) {
	testenv.Root(t)
	if _, err := os.Stat("/proc/keys"); err != nil {
		testenv.Unavailable(t, "a kernel without keyrings")
	}
	for _, keep := range []bool{false, true} {
		id := strings.ReplaceAll(t.Name(), "/", "-") + map[bool]string{false: "-own", true: "-kept"}[keep]
		spec := newSpec(t, "sleep", "1000")
		c, err := Create(t.Context(), &Config{ID: id, Bundle: newBundle(t), Spec: spec, Options: Options{NoNewKeyring: keep}, Record: func(Record) error { return nil }})
		if err != nil {
			t.Fatal(err)
		}
		keys, err := os.ReadFile("/proc/keys")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(keys), "_ses."+id); got == keep {
			t.Errorf("NoNewKeyring %v: a keyring of its own: %v\n%s", keep, got, keys)
		}
		if err := c.Destroy(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := c.Init().Wait(); err != nil {
			t.Error(err)
		}
		if err := c.Init().Close(); err != nil {
			t.Error(err)
		}
	}
}
