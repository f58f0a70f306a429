// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	taskv3 "github.com/containerd/containerd/api/runtime/task/v3"
	"google.golang.org/protobuf/proto"
)

func TestDelete(t *testing.T) {
	r := newRig(t)
	bundle := r.bundle("c1")
	path := r.start("c1", bundle)
	pid := oneDaemon(t, "c1")
	call := func() *taskv3.DeleteResponse {
		t.Helper()
		args := append([]string{"-bundle", bundle}, verb("c1", "delete")...)
		stdout, stderr, err := r.run(bundle, nil, args...)
		if err != nil || stderr != "" {
			t.Fatalf("delete: %v: %s", err, stderr)
		}
		resp := new(taskv3.DeleteResponse)
		if err := proto.Unmarshal([]byte(stdout), resp); err != nil {
			t.Fatal(err)
		}
		return resp
	}
	// Another container's shim is gone for containerd; ours lives.
	if got := call(); got.ExitStatus != 137 || got.Pid != 0 || time.Since(got.ExitedAt.AsTime()) > time.Minute {
		t.Errorf("delete answers %v", got)
	}
	if !exists(path) {
		t.Error("the socket of a living shim was removed")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGone(t, pid)
	exit := `{"Timestamp":"2026-01-02T03:04:05.6Z","Pid":77,"Status":3}`
	if err := os.WriteFile(filepath.Join(bundle, "exit.json"), []byte(exit), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := call(); got.ExitStatus != 3 || got.Pid != 77 ||
		got.ExitedAt.AsTime().Format(time.RFC3339Nano) != "2026-01-02T03:04:05.6Z" {
		t.Errorf("delete answers %v", got)
	}
	if exists(path) {
		t.Error("the socket of a dead shim is left")
	}
}
