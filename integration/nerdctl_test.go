// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// standIn does what nerdctl does when the runtime calls it: as a hook, which gives
// the container its network, and as the logger of a container in the background.
const standIn = `#!/bin/sh
case "$*" in
_NERDCTL_INTERNAL_LOGGING*)
	exec 5>&-
	echo "$CONTAINER_NAMESPACE/$CONTAINER_ID" >"$2/logged"
	cat <&3 >>"$2/stdout" &
	cat <&4 >>"$2/stderr"
	wait
	exit ;;
esac
data=${1#--data-root=}
state=$(cat)
pid=$(echo "$state" | grep -o '"pid": *[0-9]*' | grep -o '[0-9]*')
bundle=$(echo "$state" | grep -o '"bundle": *"[^"]*"' | cut -d'"' -f4)
grep -q '"nerdctl/namespace": *"bed"' "$bundle/config.json" || exit 11
case "$*" in
*" internal oci-hook createRuntime")
	grep -q "^$pid$" "$data/pid" 2>/dev/null && exit 12
	nsenter --net=/proc/$pid/ns/net sh -c 'ip link set lo up; ip addr add 10.4.0.9/32 dev lo' || exit 13
	echo "10.4.0.9 box" >>"$data/hosts"
	echo $pid >>"$data/pid" ;;
*" internal oci-hook postStop") echo stopped >>"$data/pid" ;;
*) exit 14 ;;
esac
echo $SECRET >"$data/env"
`

// TestAsNerdctl: what nerdctl sends with --runtime io.containerd.mini.v2 (no
// options, labels as annotations, itself as hooks and logger), in the foreground,
// in the background, and there with a terminal.
func TestAsNerdctl(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		dir := t.TempDir()
		program := filepath.Join(dir, "nerdctl")
		h.must(os.WriteFile(program, []byte(standIn), 0o755))
		for _, terminal := range []bool{false, true} {
			data := filepath.Join(dir, fmt.Sprint(terminal))
			h.must(os.Mkdir(data, 0o755))
			h.must(os.WriteFile(data+"/hosts", nil, 0o644))
			call := func(what string) specs.Hook {
				return specs.Hook{
					Path: program, Env: append(os.Environ(), "SECRET=of the caller"),
					Args: []string{program, "--data-root=" + data, "--address=" + h.d.Address(), "internal", "oci-hook", what},
				}
			}
			h.labels = map[string]string{"nerdctl/namespace": "bed", "nerdctl/state-dir": data, "nerdctl/networks": `["bridge"]`}
			opts := []oci.SpecOpts{
				oci.WithAnnotations(h.labels), oci.WithHostname("box"), bind(data+"/hosts", "/etc/hosts", "rw"),
				hook("createRuntime", call("createRuntime")), hook("poststop", call("postStop")),
				sh("trap 'exit 4' TERM; echo ready; ip addr show lo | grep -o 10.4.0.9; cat /etc/hosts; echo oops >&2; while :; do sleep 0.05; done"),
			}
			if terminal {
				opts = append(opts, oci.WithTTY)
			}
			c := h.container(opts...)
			uri := mustURL("binary://" + program + "?_NERDCTL_INTERNAL_LOGGING=" + data)
			create := cio.LogURI(uri)
			if terminal {
				create = cio.TerminalLogURI(uri)
			}
			task, err := c.NewTask(h.ctx, create)
			h.must(err)
			exit, err := task.Wait(h.ctx)
			h.must(err)
			h.must(task.Start(h.ctx))
			h.eventually(func() error {
				out, _ := os.ReadFile(data + "/stdout")
				text := strings.ReplaceAll(string(out), "\r", "")
				if !strings.HasPrefix(text, "ready\n10.4.0.9\n10.4.0.9 box\n") {
					return fmt.Errorf("terminal %t: logged %q", terminal, text)
				}
				if terminal {
					return containsLine(text, "oops")
				}
				errs, _ := os.ReadFile(data + "/stderr")
				return containsLine(string(errs), "oops")
			})
			h.equal("logged", strings.Join(h.lines(data+"/logged"), ""), "bed/"+c.ID())
			h.equal("environment of the hook", strings.Join(h.lines(data+"/env"), ""), "of the caller")
			h.must(task.Kill(h.ctx, syscall.SIGTERM))
			if status := <-exit; status.ExitCode() != 4 {
				t.Errorf("exit code %d, want 4", status.ExitCode())
			}
			_, err = task.Delete(h.ctx)
			h.must(err)
			h.must(c.Delete(h.ctx, client.WithSnapshotCleanup))
			h.equal("hooks", strings.Join(h.lines(data+"/pid"), " "), fmt.Sprintf("%d stopped", task.Pid()))
		}
	})
}
