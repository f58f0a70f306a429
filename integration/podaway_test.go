// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestPodExitWhileContainerdIsAway: kubelet is told the exit codes of containers that
// ended while containerd was killed, and not that they are unknown (255).
func TestPodExitWhileContainerdIsAway(t *testing.T) {
	eachHandler(t, func(t *testing.T, k *kubelet) {
		if !k.mini() {
			return // containerd has deleted the tasks
		}
		dir := t.TempDir()
		mount := func(c *cri.ContainerConfig) {
			c.Mounts = []*cri.Mount{{HostPath: dir, ContainerPath: "/home"}}
		}
		until := func(gate string, code int) string {
			return fmt.Sprintf("while [ ! -e /home/%s ]; do sleep 0.02; done; exit %d", gate, code)
		}
		p := k.runPod()
		failed, succeeded := p.start(until("gate", 5), mount), p.start(until("gate", 0), mount)
		running := p.start(until("later", 6), mount)
		_, failedPid := p.status(failed)
		_, succeededPid := p.status(succeeded)
		k.must(k.d.Kill())
		k.must(os.WriteFile(dir+"/gate", nil, 0o600))
		k.gone(failedPid)
		k.gone(succeededPid)
		k.must(k.d.Restart(k.ctx))
		k.eventually(func() error { // CRI takes a moment more than containerd
			_, err := k.api.ContainerStatus(k.ctx, &cri.ContainerStatusRequest{ContainerId: running})
			return err
		})
		for id, want := range map[string]struct {
			code   int32
			reason string
		}{failed: {5, "Error"}, succeeded: {0, "Completed"}} {
			s := p.wait(id)
			if s.ExitCode != want.code || s.Reason != want.reason || s.FinishedAt == 0 {
				t.Errorf("exit code %d, %q, at %d; want %d, %q", s.ExitCode, s.Reason, s.FinishedAt, want.code, want.reason)
			}
		}
		if s, _ := p.status(running); s.State != cri.ContainerState_CONTAINER_RUNNING {
			t.Errorf("the third is %v", s.State)
		}
		k.must(os.WriteFile(dir+"/later", nil, 0o600))
		if s := p.wait(running); s.ExitCode != 6 {
			t.Errorf("exit code %d, want 6", s.ExitCode)
		}
	})
}
