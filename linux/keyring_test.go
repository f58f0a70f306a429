// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

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

// TestExecJoinsTheKeyring: init and its execs share one keyring, which has as many
// users more as there are execs.
func TestExecJoinsTheKeyring(t *testing.T) {
	testenv.Root(t)
	if _, err := os.Stat("/proc/keys"); err != nil {
		testenv.Unavailable(t, "a kernel without keyrings")
	}
	id := t.Name()
	c, err := Create(t.Context(), &Config{ID: id, Bundle: newBundle(t), Spec: newSpec(t, "sleep", "1000"), Record: func(Record) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	users := func() int {
		t.Helper()
		keys, err := os.ReadFile("/proc/keys")
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for line := range strings.Lines(string(keys)) {
			if strings.Contains(line, "_ses."+id+":") {
				found = append(found, line)
			}
		}
		if len(found) != 1 {
			t.Fatalf("keyrings %q", found)
		}
		f := strings.Fields(found[0]) // serial, flags, users, expiry, permissions (keyrings(7))
		if f[4] != "3f1b0000" {
			t.Errorf("permissions %s", f[4])
		}
		n, err := strconv.Atoi(f[2])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Credentials of the past let go of the keyring some time later (RCU).
	settled := func() int {
		for last, same := users(), 0; ; time.Sleep(20 * time.Millisecond) {
			now := users()
			if same++; now != last {
				last, same = now, 0
			}
			if same == 10 {
				return now
			}
		}
	}
	before := settled()
	exec, err := c.Exec(t.Context(), &ExecConfig{ID: "exec", Process: newSpec(t, "sleep", "1000").Process})
	if err != nil {
		t.Fatal(err)
	}
	if now := settled(); now <= before {
		t.Errorf("%d users of the keyring before the exec, %d after it", before, now)
	}
	if err := c.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	for _, p := range []*Process{exec, c.Init()} {
		if _, err := p.Wait(); err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
