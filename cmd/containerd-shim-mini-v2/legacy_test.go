// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/api/types/runc/options"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/containerd-mini/mini/integration/testenv"
)

func TestStartLegacy(t *testing.T) {
	testenv.Root(t)
	testenv.Subprocess(t, syscall.CLONE_NEWNS, func(t *testing.T) {
		if err := os.MkdirAll("/run/containerd", 0o711); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("tmpfs", "/run/containerd", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		r := newRig(t)
		value, err := proto.Marshal(&options.Options{BinaryName: "runc"})
		if err != nil {
			t.Fatal(err)
		}
		opts, err := proto.Marshal(&anypb.Any{TypeUrl: "containerd.runc.v1.Options", Value: value})
		if err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			id, max string
			input   []byte
			version int
		}{
			{"v17", "2", opts, 2}, {"bare", "2", nil, 2}, {"later", "3", opts, 3}, {"older", "", opts, 0},
		}
		for _, tt := range tests {
			r.env = []string{"MAX_SHIM_VERSION=" + tt.max}
			bundle := r.bundle(tt.id)
			stdout, stderr, err := r.run(bundle, tt.input, verb(tt.id, "start")...)
			if err != nil {
				t.Fatalf("%s: %v: %s", tt.id, err, stderr)
			}
			r.endOf(tt.id)
			answer := struct {
				Version  int
				Address  string
				Protocol string
			}{Address: stdout}
			if tt.version > 0 {
				if err := json.Unmarshal([]byte(stdout), &answer); err != nil || answer.Protocol != "ttrpc" {
					t.Fatalf("%s: %q: %v", tt.id, stdout, err)
				}
			}
			path, ok := strings.CutPrefix(answer.Address, "unix:///run/containerd/s/")
			if answer.Version != tt.version || !ok {
				t.Errorf("%s: start answers %q", tt.id, stdout)
			}
			if _, pid := dial(t, "/run/containerd/s/"+path); pid != oneDaemon(t, tt.id) {
				t.Errorf("%s: pid %d", tt.id, pid)
			}
		}
	})
}
