// SPDX-License-Identifier: Apache-2.0

package netdev

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
	"github.com/containerd-mini/mini/linux/sys"
)

// ip runs ip(8) in this network namespace, or in that of the file.
func ip(t *testing.T, ns *os.File, args ...string) string {
	t.Helper()
	cmd := exec.Command("ip", args...)
	if ns != nil {
		cmd = exec.Command("nsenter", append([]string{"--net=/dev/fd/3", "ip"}, args...)...)
		cmd.ExtraFiles = []*os.File{ns}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ip %v: %v: %s", args, err, out)
	}
	return string(out)
}

// other makes a network namespace.
func other(t *testing.T) (ns *os.File) {
	t.Helper()
	err := sys.OnThread(func() (err error) {
		if err := sys.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		ns, err = sys.OpenProcLink(sys.ThreadAttr("ns"), "net", os.O_RDONLY)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

// state is what is said of a device: its name, whether it is up, its MTU, MAC and
// addresses.
func state(t *testing.T, ns *os.File, name string) string {
	t.Helper()
	text := ip(t, ns, "addr", "show", "dev", name)
	var all []string
	for _, re := range []string{
		`mtu \d+`,
		`link/ether \S+`,
		`inet6? \S+( peer \S+)?( metric \d+)?( brd \S+)? scope global( noprefixroute)?`,
	} {
		all = append(all, regexp.MustCompile(re).FindAllString(text, -1)...)
	}
	all = append(all, fmt.Sprint("up ", regexp.MustCompile(`<.*\bUP\b.*>`).MatchString(text)))
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// names lists a namespace's devices, except lo and the other ends of pairs.
func names(t *testing.T, ns *os.File) string {
	t.Helper()
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^\d+: ([^:@]+)`).FindAllStringSubmatch(ip(t, ns, "link"), -1) {
		if m[1] != "lo" && !strings.HasPrefix(m[1], "p-") {
			all = append(all, m[1])
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// newDevice makes a device with everything that a move keeps, and with an address that it
// does not keep.
func newDevice(t *testing.T, name string) {
	t.Helper()
	ip(t, nil, "link", "add", "name", name, "address", "02:00:00:00:00:07", "mtu", "1400",
		"type", "veth", "peer", "name", "p-"+name)
	for _, a := range [][]string{
		{"10.7.0.1/24", "broadcast", "10.7.0.255"},
		{"10.7.0.2/24"},
		{"10.8.0.1", "peer", "10.8.0.2/32"},
		{"fd07::1/64", "nodad", "noprefixroute"},
		{"169.254.7.7/16", "scope", "link"},
	} {
		ip(t, nil, append([]string{"addr", "add", "dev", name}, a...)...)
	}
}

func TestMove(t *testing.T) {
	testenv.Root(t)
	testenv.Subprocess(t, unix.CLONE_NEWNET|unix.CLONE_NEWNS, func(t *testing.T) {
		for _, up := range []bool{false, true} {
			ns := other(t)
			newDevice(t, "same")
			newDevice(t, "before")
			newDevice(t, "many")
			ip(t, ns, "link", "add", "name", "many0", "type", "veth", "peer", "name", "p-many0")
			if up {
				for _, n := range []string{"same", "before", "many"} {
					ip(t, nil, "link", "set", n, "up")
				}
			}
			was := state(t, nil, "same")
			m, err := Move(ns, map[string]string{"same": "", "before": "after", "many": "many%d"})
			if err != nil {
				t.Fatal(err)
			}
			if got := names(t, nil); got != "" {
				t.Errorf("still here: %s", got)
			}
			if got := names(t, ns); got != "after many0 many1 same" {
				t.Errorf("there: %s", got)
			}
			want := strings.Replace(was, "up false", "up true", 1)
			if strings.Count(want, "scope global") != 4 {
				t.Fatalf("the device is not what this test wants:\n%s", want)
			}
			for _, n := range []string{"same", "after", "many1"} {
				if got := state(t, ns, n); got != want {
					t.Errorf("%s:\n%s\nwant\n%s", n, got, want)
				}
			}
			if err := m.Undo(); err != nil {
				t.Fatal(err)
			}
			if got := names(t, nil); got != "before many same" {
				t.Errorf("back: %s", got)
			}
			if got := state(t, nil, "before"); got != was {
				t.Errorf("back:\n%s\nwant\n%s", got, was)
			}
			for _, n := range []string{"same", "before", "many"} {
				ip(t, nil, "link", "del", n)
			}
		}
	})
}

// TestMoveAmongNewDevices: a device that somebody makes there meanwhile is not taken for the
// one that was moved.
func TestMoveAmongNewDevices(t *testing.T) {
	testenv.Root(t)
	testenv.Subprocess(t, unix.CLONE_NEWNET|unix.CLONE_NEWNS, func(t *testing.T) {
		ns := other(t)
		newDevice(t, "dev")
		was := state(t, nil, "dev")
		var batch strings.Builder
		for i := range 500 {
			fmt.Fprintf(&batch, "link add name new%d type veth peer name p-new%d\n", i, i)
		}
		cmd := exec.Command("nsenter", "--net=/dev/fd/3", "ip", "-batch", "-")
		cmd.Stdin, cmd.ExtraFiles = strings.NewReader(batch.String()), []*os.File{ns}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		for moves := 0; ; moves++ {
			m, err := Move(ns, map[string]string{"dev": "moved%d"})
			if err != nil {
				t.Fatal(err)
			}
			if name := m.devices[0].is.name; name != "moved0" {
				t.Fatalf("move %d: %s was taken for it", moves, name)
			}
			if err := m.Undo(); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-done:
				if err != nil || moves < 10 {
					t.Fatalf("%d moves, %v", moves, err)
				}
				if got := state(t, nil, "dev"); got != was {
					t.Errorf("back:\n%s\nwant\n%s", got, was)
				}
				return
			default:
			}
		}
	})
}

// TestMoveManyCostsWhatItIs: the messages of a move do not grow with the devices there are.
func TestMoveManyCostsWhatItIs(t *testing.T) {
	testenv.Root(t)
	testenv.Subprocess(t, unix.CLONE_NEWNET|unix.CLONE_NEWNS, func(t *testing.T) {
		asks := func(n int) int {
			ns := other(t)
			devices := map[string]string{}
			var batch strings.Builder
			for i := range n {
				name := fmt.Sprintf("d%d-%d", n, i)
				fmt.Fprintf(&batch, "link add name %s type veth peer name p-%s\n", name, name)
				fmt.Fprintf(&batch, "addr add dev %s 10.0.%d.%d/32\n", name, i/200, i%200+1)
				devices[name] = ""
			}
			cmd := exec.Command("ip", "-batch", "-")
			cmd.Stdin = strings.NewReader(batch.String())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			m, err := Move(ns, devices)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			return m.here.received + m.there.received
		}
		const few, times = 25, 4
		if one, four := asks(few), asks(times*few); four > times*one*11/10 {
			t.Errorf("%d bytes for %d devices, %d for %d", one, few, four, times*few)
		}
	})
}

// TestMoveToTakenIndexes: a device whose index another one has there gets another, and its
// own back.
func TestMoveToTakenIndexes(t *testing.T) {
	testenv.Root(t)
	testenv.Subprocess(t, unix.CLONE_NEWNET|unix.CLONE_NEWNS, func(t *testing.T) {
		ns := other(t)
		ip(t, nil, "link", "add", "index", "70", "name", "dev", "type", "veth", "peer", "name", "p-dev")
		ip(t, ns, "link", "add", "index", "70", "name", "one", "type", "veth", "peer", "name", "p-one")
		ip(t, ns, "link", "add", "index", "65606", "name", "two", "type", "veth", "peer", "name", "p-two")
		m, err := Move(ns, map[string]string{"dev": ""})
		if err != nil {
			t.Fatal(err)
		}
		if got := m.devices[0].is; got.name != "dev" || got.index != 131142 {
			t.Errorf("got %+v", got)
		}
		if err := m.Undo(); err != nil {
			t.Fatal(err)
		}
		if got := ip(t, nil, "link", "show", "dev", "dev"); !strings.HasPrefix(got, "70: dev@") {
			t.Errorf("back as %s", got)
		}
	})
}

// TestMoveFails: what was moved before is back, whatever the reason.
func TestMoveFails(t *testing.T) {
	testenv.Root(t)
	testenv.Subprocess(t, unix.CLONE_NEWNET|unix.CLONE_NEWNS, func(t *testing.T) {
		ns := other(t)
		newDevice(t, "dev-a")
		newDevice(t, "dev-b")
		ip(t, ns, "link", "add", "name", "taken", "type", "veth", "peer", "name", "p-taken")
		was := state(t, nil, "dev-a")
		for want, request := range map[error]map[string]string{
			unix.EEXIST: {"dev-a": "", "dev-b": "taken"},
			unix.ENODEV: {"dev-a": "x", "dev-b": "", "dev-c": ""},
			unix.EINVAL: {"dev-a": "", "dev-b": "%d%d"},
		} {
			_, err := Move(ns, request)
			if !errors.Is(err, want) {
				t.Errorf("%v: %v, want %v", request, err, want)
			}
			if here, there := names(t, nil), names(t, ns); here != "dev-a dev-b" || there != "taken" {
				t.Errorf("%v: here %s, there %s", request, here, there)
			}
			if got := state(t, nil, "dev-a"); got != was {
				t.Errorf("%v:\n%s\nwant\n%s", request, got, was)
			}
		}
	})
}

func TestCheck(t *testing.T) {
	for name, ok := range map[string]bool{
		"eth0": true, "eth%d": true, "fifteen-letters": true,
		"": false, ".": false, "..": false, "a/b": false, "a:1": false, "a b": false, "sixteen-letters-": false,
	} {
		if err := Check(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
