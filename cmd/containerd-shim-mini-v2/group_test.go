// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	"google.golang.org/protobuf/proto"
)

func TestStartInGroup(t *testing.T) {
	r := newRig(t)
	pod := r.start("pod", r.bundle("pod", "io.kubernetes.cri.sandbox-id", "pod"))
	member := r.bundle("member", "io.kubernetes.cri.sandbox-id", "pod")
	if got := r.start("member", member); got != pod {
		t.Errorf("a member of the group got %s, want %s", got, pod)
	}
	if data, err := os.ReadFile(filepath.Join(member, "address")); string(data) != "unix://"+pod {
		t.Errorf("address holds %q, %v", data, err)
	}
	// The group label decides where there are both.
	other := r.start(
		"other",
		r.bundle("other", "io.kubernetes.cri.sandbox-id", "pod", "io.containerd.runc.v2.group", "own"),
	)
	if other == pod {
		t.Error("the group label was passed over")
	}
	if n := len(daemons(t, "member")); n != 0 {
		t.Errorf("%d daemons for the member", n)
	}
	// Members come at the same time as well.
	done := make(chan string)
	for i := range 6 {
		bundle := r.bundle(fmt.Sprintf("same%d", i), "io.containerd.runc.v2.group", "same")
		go func() {
			input, _ := proto.Marshal(&bootapi.BootstrapParams{
				InstanceID: filepath.Base(bundle),
				Namespace:  "test",
				SocketDir:  &r.sockets,
			})
			stdout, stderr, err := r.run(bundle, input, verb(filepath.Base(bundle), "start")...)
			if err != nil {
				t.Errorf("start: %v: %s", err, stderr)
			}
			done <- stdout
		}()
	}
	total, first := 0, <-done
	for range 5 {
		if answer := <-done; answer != first {
			t.Errorf("members got %q and %q", first, answer)
		}
	}
	for i := range 6 {
		id := fmt.Sprintf("same%d", i)
		r.endOf(id)
		total += len(daemons(t, id))
	}
	if total != 1 {
		t.Errorf("%d daemons for one group", total)
	}
}
