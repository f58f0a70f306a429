// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/containerd-mini/mini/task"
)

func TestInfo(t *testing.T) {
	typeurl.Register(
		&features.Features{},
		"types.containerd.io",
		"opencontainers/runtime-spec",
		"1",
		"features",
		"Features",
	)
	value, err := proto.Marshal(&options.Options{NoNewKeyring: true})
	if err != nil {
		t.Fatal(err)
	}
	opts := &anypb.Any{TypeUrl: "containerd.runc.v1.Options", Value: value}
	input, err := proto.Marshal(opts)
	if err != nil {
		t.Fatal(err)
	}
	for name, stdin := range map[string][]byte{"with options": input, "without": nil} {
		t.Run(name, func(t *testing.T) {
			r := &rig{t: t, binary: shimBinary}
			stdout, stderr, err := r.run(t.TempDir(), stdin, "-info")
			if err != nil {
				t.Fatalf("%v: %s", err, stderr)
			}
			var info types.RuntimeInfo
			if err := proto.Unmarshal([]byte(stdout), &info); err != nil {
				t.Fatal(err)
			}
			if info.Name != "io.containerd.mini.v2" || info.Version.GetVersion() != "1.2.3-test" {
				t.Errorf("info = %v", &info)
			}
			if (stdin != nil) != proto.Equal(info.Options, opts) {
				t.Errorf("options = %v", info.Options)
			}
			v, err := typeurl.UnmarshalAny(info.Features)
			if err != nil {
				t.Fatal(err)
			}
			f, ok := v.(*features.Features)
			if !ok || f.OCIVersionMin != task.Features().OCIVersionMin ||
				len(f.MountOptions) != len(task.Features().MountOptions) {
				t.Errorf("features = %+v", v)
			}
		})
	}
}

func TestInfoOfBadOptions(t *testing.T) {
	r := &rig{t: t, binary: shimBinary}
	if stdout, stderr, err := r.run(t.TempDir(), []byte("\xff"), "-info"); err == nil || stdout != "" ||
		!strings.Contains(stderr, "options") {
		t.Errorf("-info: %v, %q, %q", err, stdout, stderr)
	}
}

func TestVersion(t *testing.T) {
	r := &rig{t: t, binary: shimBinary}
	for _, flag := range []string{"-v", "--version"} {
		stdout, _, err := r.run(t.TempDir(), nil, flag)
		if err != nil || !strings.Contains(stdout, "Version:  1.2.3-test\n") ||
			!strings.Contains(stdout, "Go version: go1.") {
			t.Errorf("%s: %v, %q", flag, err, stdout)
		}
	}
}

func TestBadCommandLine(t *testing.T) {
	r := &rig{t: t, binary: shimBinary}
	tests := map[string][]string{
		"flag -nonsense: not defined":         {"-nonsense", "start"},
		"flag -id: needs an argument":         {"-namespace", "x", "-id"},
		"flag -namespace: no namespace given": {"-id", "x", "start"},
		`action "restart"`:                    {"-namespace", "x", "restart"},
	}
	for want, args := range tests {
		stdout, stderr, err := r.run(t.TempDir(), nil, args...)
		if err == nil || stdout != "" || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: %v, %q, %q", args, err, stdout, stderr)
		}
	}
}
