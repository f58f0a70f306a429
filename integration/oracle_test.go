// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/testenv"
)

// probe prints what a process sees of its container and of itself. It is a shell
// script and not a program of ours: a Go runtime changes limits and signals before
// it can look at them. $$ is the shell that execve started.
const probe = `
p=/proc/$$; section() { echo "== $1"; }
section status; cat $p/status
section limits; cat $p/limits
section mountinfo; cat $p/mountinfo
section cgroup; cat $p/cgroup
section environment; tr '\0' '\n' <$p/environ
section descriptors; for f in $p/fd/*; do echo "${f##*/} $(readlink $f)"; done
section itself; for f in oom_score_adj timens_offsets uid_map gid_map setgroups personality coredump_filter comm loginuid autogroup; do echo "$f $(tr -s ' \t' ' ' <$p/$f 2>&1)"; done
readlink $p/cwd; readlink $p/root; umask; id; taskset -p $$ | sed 's/.*mask//'; ionice -p $$; cut -d' ' -f5-8,19,40,41 $p/stat | sed "s/\b$$\b/SELF/g"
section names; hostname; cat /proc/sys/kernel/domainname
section devices; find /dev ! -path '/dev/pts/*' ! -path '/dev/mqueue/*' -exec stat -c '%n %F %a %u:%g %t:%T' {} + | sort; for l in fd stdin stdout stderr core ptmx; do echo "$l $(readlink /dev/$l)"; done
section files; stat -c '%n %F %a %u:%g' / /* /proc/sys /sys/fs /home/* /tmp/* 2>/dev/null | sort
section sysctls; for s in kernel/msgmax kernel/shmmni kernel/sem fs/mqueue/msg_max net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range net/ipv4/ip_forward; do echo "$s $(tr '\t' ' ' </proc/sys/$s 2>&1)"; done
section network; ip -o link 2>&1 | sed 's/^[0-9]*: //; s/qlen.*//'; ip -o -4 addr 2>&1 | tr -s ' '
section protected; for f in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts /proc/latency_stats; do [ -e $f ] && echo "$f $(head -c 9 $f 2>&1 | wc -c)"; done; for d in /proc/acpi /proc/scsi /sys/firmware; do [ -e $d ] && echo "$d $(ls -A $d | wc -l)"; done
for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/irq /sys/kernel /etc/passwd /run /dev/shm; do [ -w $f ] && echo "$f writable"; done
section end
`

// volatile are lines of the probe that say nothing of the runtime.
var volatile = regexp.MustCompile(`^(State|Pid|Tgid|NSpid|NStgid|NSpgid|NSsid|PPid|Ngid|Vm\w+|Rss\w+|Hugetlb\w+|Threads|\w*ctxt_switches|SigQ|FDSize|Mems_allowed|untag_mask|THP_enabled|x86_Thread_features\w*):`)

var scrubs = []struct {
	from *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`^(\d+) (.*/fifo/|pipe:|/run/bed).*`), "$1 FIFO"},
	{regexp.MustCompile(`/dev/pts/\d+`), "/dev/pts/N"},
	{regexp.MustCompile(`/mini-exec-\d+$`), ""}, // where the cgroup namespace is the host's, an exec has a cgroup of its own (linux/cgroup)
	// runc makes the IPC namespace as the container's root with the host's group.
	{regexp.MustCompile(`(/dev/mqueue directory 1777 0:)65534`), "${1}0"},
	{regexp.MustCompile(`snapshots/\d+/`), "snapshots/N/"},
	// Signal 32 is the C library's own; under runc it is ignored where the shell
	// that began the tests ignores it, and not always.
	{regexp.MustCompile(`^(SigIgn:\t0{8})8`), "${1}0"},
	{regexp.MustCompile(`/proc/\d+(/|\b)`), "/proc/PID$1"},
	{regexp.MustCompile(`^(/dev/\S+ character special file \d+) 65534:65534 `), "$1 0:0 "}, // of the host, bound by runc
	{regexp.MustCompile(`/autogroup-\d+`), "/autogroup"},
	{regexp.MustCompile(`(shared|master|propagate_from):\d+`), "$1"},
}

var (
	pids         = regexp.MustCompile(`/proc/\d+`)
	node         = regexp.MustCompile(`^/(null|zero|full|random|urandom|tty|\d+)$`)
	tmpfsMode    = regexp.MustCompile(`( - tmpfs .*),mode=\d+`)
	cgroupSource = regexp.MustCompile(`( - cgroup2) \w+`)
)

// scrub takes out of a probe what differs from run to run.
func scrub(text string) []string {
	var out []string
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if s, ok := strings.CutPrefix(line, "== "); ok {
			section = s
		}
		if volatile.MatchString(line) {
			continue
		}
		if section == "mountinfo" && !strings.HasPrefix(line, "==") {
			line = mountText(line)
		}
		for _, s := range scrubs {
			line = s.from.ReplaceAllString(line, s.to)
		}
		out = append(out, section+": "+line)
	}
	return out
}

// mountText is a line of mountinfo without its numbers, and without what differs
// on purpose (linux/mount): masks of files are read-only in mini; the device nodes of a
// user namespace's container are its own, and in runc the host's; a tmpfs takes over the mode of what it covers
// with chmod(2) and not as a parameter; cgroup2 without a namespace is a bind of the
// host's and has its source.
func mountText(line string) string {
	f := strings.Fields(line)
	if len(f) < 7 {
		return line
	}
	text := tmpfsMode.ReplaceAllString(strings.Join(f[3:], " "), "$1")
	text = cgroupSource.ReplaceAllString(text, "$1")
	if node.MatchString(f[3]) {
		return "node " + f[4]
	}
	return text
}

const refusal = "refused"

// sight is what a container of a runtime, and an exec in it, see; or that the
// runtime refused it.
func (h *harness) sight(opts []oci.SpecOpts, terminal bool) []string {
	h.Helper()
	opts = append(slices.Clone(opts), sh(probe+"read x"))
	create := h.tryCreate
	if terminal {
		create = h.tryTerminal
	}
	c := h.container(opts...)
	if os.Getenv("MINI_DEBUG") == "1" {
		s, err := c.Spec(h.ctx)
		h.must(err)
		text, err := json.Marshal(s)
		h.must(err)
		h.Logf("%s", text)
	}
	task, err := create(c)
	if err == nil {
		err = task.Start(h.ctx)
	}
	if err != nil {
		h.Logf("%s refuses: %v", h.runtime, err)
		h.remove(h.lastID())
		return []string{refusal, err.Error()}
	}
	task.expect("== end")
	var see []string
	for kind, file := range namespaceFiles {
		own := h.ns(int(task.Pid()), file) != h.ns(task.shim(), file)
		see = append(see, fmt.Sprintf("namespace %s of its own: %v", kind, own))
	}
	slices.Sort(see)
	see = append(see, scrub(strings.ReplaceAll(task.out.String(), "\r", ""))...)
	out, errs, code := task.execs(sh(probe))
	for range 3 {
		if h.mini() || out != "" {
			break
		}
		out, errs, code = task.execs(sh(probe)) // runc's shim has lost it
	}
	see = append(see, fmt.Sprintf("exec ends with %d %s", code, pids.ReplaceAllString(errs, "/proc/PID")))
	for _, line := range scrub(out) {
		see = append(see, "exec "+line)
	}
	task.kill()
	return append(see, "stderr: "+pids.ReplaceAllString(task.errs.String(), "/proc/PID"))
}

// both are harnesses for the two runtimes. They come first: what is left behind they
// look for last.
func both(t *testing.T) [2]*harness {
	t.Helper()
	return [2]*harness{newHarness(t, mini, daemon), newHarness(t, runc, daemon)}
}

// compareSight runs a spec, which may use the scene, under both runtimes and shows
// what they differ in.
func compareSight(t *testing.T, h [2]*harness, s *scene, terminal bool, opts []oci.SpecOpts) {
	t.Helper()
	var see [2][]string
	for i := range h {
		see[i] = append(h[i].sight(opts, terminal), s.hooksSaw(t)...)
	}
	if testing.Verbose() && os.Getenv("MINI_DEBUG") == "1" {
		t.Logf("%s", strings.Join(see[0], "\n"))
	}
	switch mini, runc := see[0][0] == refusal, see[1][0] == refusal; {
	case mini != runc && excused(t, see):
		return
	case mini != runc:
		t.Fatalf("mini refuses: %v, runc refuses: %v", mini, runc)
	case mini:
		return
	}
	for i, who := range []string{"mini", "runc"} {
		rest := slices.Clone(see[1-i])
		for _, line := range see[i] {
			if at := slices.Index(rest, line); at >= 0 {
				rest = slices.Delete(rest, at, at+1)
			} else {
				t.Errorf("only %s: %s", who, line)
			}
		}
	}
}

// differ are refusals of one runtime alone that are meant to be, by the error.
var differ = []struct{ who, text, why string }{
	{runc, "open /proc/sys/kernel/cap_last_cap", "it cannot do with a procfs that has processes only"},
	{runc, "flags=MS_BIND|MS_REC: invalid argument", "a path of an unbindable root can be protected"},
	{runc, "can't mask paths: open /dev/null", "masks are of the host's null device where the container has none"},
	{mini, "config.json: hooks.", "the path of a hook is absolute (config.md, Hooks)"},
	{mini, "Paths[0]: \"relative\" is not absolute", "(config-linux.md, Masked Paths)"},
	{mini, "Paths[0]: \"\" is not absolute", "(config-linux.md, Masked Paths)"},
	{runc, "flags=MS_BIND: no such file or directory", "it needs a /proc/self of the container's for masks and the console"},
	{mini, "linux.devices[0].path: \"\"", "(config-linux.md, Devices: a path)"},
	{runc, "flags=MS_RDONLY: device or resource busy", "a filesystem may be mounted over itself"},
}

func excused(t *testing.T, see [2][]string) bool {
	for i, who := range []string{mini, runc} {
		if see[i][0] != refusal {
			continue
		}
		for _, d := range differ {
			if d.who == who && strings.Contains(see[i][1], d.text) {
				t.Logf("%s refuses: %s", who, d.why)
				return true
			}
		}
	}
	return false
}

// hooksSaw is what the hooks of a container wrote down.
func (s *scene) hooksSaw(t *testing.T) (see []string) {
	text, err := os.ReadFile(s.hooked)
	if os.IsNotExist(err) {
		return nil
	}
	if err == nil {
		err = os.Remove(s.hooked)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		see = append(see, fmt.Sprintf("hooks, line %d: %s", i, line))
	}
	return see
}

// oracle needs both runtimes.
func oracle(t *testing.T) {
	testenv.Root(t)
	for _, r := range []string{mini, runc} {
		if !slices.Contains(runtimes(), r) {
			t.Skipf("%s is not in RUNTIMES", r)
		}
	}
}

// TestOracle: what a container sees is what it sees under runc.
func TestOracle(t *testing.T) {
	oracle(t)
	for name := range oracleTable("") {
		t.Run(name, func(t *testing.T) {
			h := both(t)
			s := &scene{vol: volume(t)}
			compareSight(t, h, s, false, oracleTable(s.vol)[name])
		})
	}
}

// TestOracleRandom is TestOracle for specs made at random. MINI_SEED=n is one of
// them, MINI_SEED=n-m all from n to m.
func TestOracleRandom(t *testing.T) {
	oracle(t)
	first, last := uint64(1), uint64(25)
	if s := os.Getenv("MINI_SEED"); s != "" {
		from, to, ok := strings.Cut(s, "-")
		if !ok {
			to = from
		}
		var err1, err2 error
		first, err1 = strconv.ParseUint(from, 10, 64)
		last, err2 = strconv.ParseUint(to, 10, 64)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
	}
	for seed := first; seed <= last; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := both(t)
			s := newScene(t)
			r := newRandomSpec(s, seed)
			compareSight(t, h, s, r.terminal, r.opts)
		})
	}
}

// devices adds nodes.
func devices(list ...specs.LinuxDevice) oci.SpecOpts {
	return spec(func(s *specs.Spec) { s.Linux.Devices = append(s.Linux.Devices, list...) })
}
