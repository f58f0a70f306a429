// SPDX-License-Identifier: Apache-2.0

package bootstrap_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	taskv3 "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/containerd-mini/mini/cmd/containerd-shim-mini-v2/internal/bootstrap"
)

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func runcOptions(t testing.TB, cgroup string) *anypb.Any {
	return &anypb.Any{
		TypeUrl: "containerd.runc.v1.Options",
		Value:   marshal(t, &options.Options{ShimCgroup: cgroup, BinaryName: "crun", IoUid: 7}),
	}
}

func fullParams(t testing.TB) *bootapi.BootstrapParams {
	dir := "/run/mini/s"
	return &bootapi.BootstrapParams{
		InstanceID: "c1", Namespace: "k8s.io", LogLevel: bootapi.LogLevel_LOG_LEVEL_DEBUG,
		ContainerdVersion: "2.4.2", ContainerdTtrpcAddress: "/run/c.ttrpc", ContainerdGrpcAddress: "/run/c",
		ContainerdBinary: "/usr/bin/containerd", SocketDir: &dir,
		Extensions: []*bootapi.Extension{
			{},
			{Value: &anypb.Any{TypeUrl: "x/y.Z", Value: []byte{1}}},
			{Value: runcOptions(t, "/shims")},
		},
	}
}

func TestReadBootstrapParams(t *testing.T) {
	p, err := bootstrap.Read(marshal(t, fullParams(t)), "c1", "k8s.io")
	if err != nil {
		t.Fatal(err)
	}
	if p.Legacy {
		t.Error("parameters of the same id and namespace were taken for an older containerd's")
	}
	if p.LogLevel != -4 || p.Version != "2.4.2" || p.TTRPCAddress != "/run/c.ttrpc" || p.GRPCAddress != "/run/c" ||
		p.Binary != "/usr/bin/containerd" || p.SocketDir != "/run/mini/s" || len(p.Extensions) != 3 {
		t.Errorf("Read = %+v", p)
	}
	if got := p.Extensions[1].Name(); got != "y.Z" {
		t.Errorf("Name = %q", got)
	}
	if cg, err := p.ShimCgroup(); cg != "/shims" || err != nil {
		t.Errorf("ShimCgroup = %q, %v", cg, err)
	}
}

// Options, or the parameters of somebody else, are an older containerd's input.
func TestReadLegacy(t *testing.T) {
	p, err := bootstrap.Read(marshal(t, runcOptions(t, "/old")), "c1", "default")
	if err != nil {
		t.Fatal(err)
	}
	if !p.Legacy || p.ID != "c1" || p.Namespace != "default" {
		t.Errorf("Read = %+v", p)
	}
	if cg, err := p.ShimCgroup(); cg != "/old" || err != nil {
		t.Errorf("ShimCgroup = %q, %v", cg, err)
	}

	if p, err := bootstrap.Read(nil, "c1", "default"); err != nil || !p.Legacy {
		t.Errorf("Read(nothing) = %+v, %v", p, err)
	}
	if p, err := bootstrap.Read(marshal(t, fullParams(t)), "c1", "other"); err == nil && !p.Legacy {
		t.Error("parameters of another namespace were believed")
	}
	if _, err := bootstrap.Read([]byte("{not protobuf}"), "c1", "default"); err == nil {
		t.Error("Read accepted what is no message")
	}
}

func TestShimCgroupOfTOML(t *testing.T) {
	file := filepath.Join(t.TempDir(), "options.toml")
	if err := os.WriteFile(file, []byte("ShimCgroup = '/from/file'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		opts *runtimeoptions.Options
		want string
		fail bool
	}{
		{"basic string", &runtimeoptions.Options{ConfigBody: []byte("SystemdCgroup = true\nShimCgroup = \"/a \\\\ \\\"b\\\"\" # why\n")}, `/a \ "b"`, false},
		{"literal string", &runtimeoptions.Options{ConfigBody: []byte(`ShimCgroup='/a\b'`)}, `/a\b`, false},
		{"quoted key", &runtimeoptions.Options{ConfigBody: []byte(`"ShimCgroup" = "/a"`)}, "/a", false},
		{"in another case", &runtimeoptions.Options{ConfigBody: []byte("shimcgroup = '/a'")}, "/a", false},
		{"in a table", &runtimeoptions.Options{ConfigBody: []byte("[other]\nShimCgroup = '/a'")}, "", true},
		{"commented out", &runtimeoptions.Options{ConfigBody: []byte("# ShimCgroup = '/a'")}, "", false},
		{"in a file", &runtimeoptions.Options{ConfigPath: file}, "/from/file", false},
		{"no file", &runtimeoptions.Options{ConfigPath: file + "x"}, "", true},
		{"not closed", &runtimeoptions.Options{ConfigBody: []byte(`ShimCgroup = "/a`)}, "", true},
		{"escape", &runtimeoptions.Options{ConfigBody: []byte(`ShimCgroup = "/\u0041"`)}, "/A", false},
		{"number", &runtimeoptions.Options{ConfigBody: []byte(`ShimCgroup = 4`)}, "", true},
		{"empty", &runtimeoptions.Options{}, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := bootstrap.Params{
				Extensions: []bootstrap.Any{{TypeURL: "runtimeoptions.v1.Options", Value: marshal(t, tt.opts)}},
			}
			got, err := p.ShimCgroup()
			if got != tt.want || (err != nil) != tt.fail {
				t.Errorf("ShimCgroup = %q, %v", got, err)
			}
		})
	}
}

func TestAnswer(t *testing.T) {
	const address = "unix:///run/containerd/s/0123"
	var result bootapi.BootstrapResult
	if err := proto.Unmarshal((&bootstrap.Params{}).Answer(address, "2"), &result); err != nil {
		t.Fatal(err)
	}
	if want := (&bootapi.BootstrapResult{Version: 3, Address: address, Protocol: "ttrpc"}); !proto.Equal(want, &result) {
		t.Errorf("Answer = %v, want %v", &result, want)
	}
	tests := map[string]string{ // MAX_SHIM_VERSION -> answer
		"2":  `{"version":2,"address":"` + address + `","protocol":"ttrpc"}`,
		"3":  `{"version":3,"address":"` + address + `","protocol":"ttrpc"}`,
		"4":  `{"version":3,"address":"` + address + `","protocol":"ttrpc"}`,
		"":   address,
		"1":  address,
		"2x": address,
	}
	for limit, want := range tests {
		got := (&bootstrap.Params{Legacy: true}).Answer(address, limit)
		if string(got) != want {
			t.Errorf("Answer for MAX_SHIM_VERSION=%q = %s, want %s", limit, got, want)
		}
		if proto.Unmarshal(got, &result) == nil {
			t.Errorf("%s is a BootstrapResult too", got)
		}
		if want != address && json.Unmarshal(got, new(map[string]any)) != nil {
			t.Errorf("%s is not JSON", got)
		}
	}
}

func TestExitEncode(t *testing.T) {
	for _, e := range []bootstrap.Exit{
		{},
		{Pid: 4_000_000_000, Status: 137, At: time.Unix(1_700_000_000, 123_456_789)},
		{Pid: 1, Status: 255, At: time.Unix(0, 0)},
		{Status: 1, At: time.Unix(-1, 5)},
	} {
		var got taskv3.DeleteResponse
		if err := proto.Unmarshal(e.Encode(), &got); err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
		if got.Pid != e.Pid || got.ExitStatus != e.Status || !got.ExitedAt.AsTime().Equal(e.At) {
			t.Errorf("%+v reads back as %v", e, &got)
		}
	}
}

// FuzzRead holds the decoder against the generated one: what that refuses is
// not taken for parameters, and what it takes has the same fields.
func FuzzRead(f *testing.F) {
	f.Add(marshal(f, fullParams(f)))
	f.Add(marshal(f, &bootapi.BootstrapParams{InstanceID: "c1", Namespace: "k8s.io"}))
	f.Add(marshal(f, runcOptions(f, "/x")))
	f.Add([]byte("\x0b\x13\x14\x0c\x0a\x01a"))                // groups
	f.Add([]byte("\x0a\x02c1\x12\x06k8s.io\x42\x02\x0a\x00")) // an empty extension
	f.Add([]byte("\x0a\x01\xff"))
	f.Fuzz(func(t *testing.T, input []byte) {
		var want bootapi.BootstrapParams
		werr := proto.Unmarshal(input, &want)
		got, err := bootstrap.Read(input, want.InstanceID, want.Namespace)
		if werr != nil {
			if err == nil && !got.Legacy {
				t.Fatalf("took what the generated type refuses: %v", werr)
			}
			return
		}
		if err != nil || got.Legacy {
			t.Fatalf("refused what the generated type takes: %+v, %v", got, err)
		}
		if got.ID != want.InstanceID || got.Namespace != want.Namespace || got.LogLevel != int32(want.LogLevel) ||
			got.Version != want.ContainerdVersion || got.TTRPCAddress != want.ContainerdTtrpcAddress ||
			got.GRPCAddress != want.ContainerdGrpcAddress || got.Binary != want.ContainerdBinary ||
			got.SocketDir != want.GetSocketDir() || len(got.Extensions) != len(want.Extensions) {
			t.Fatalf("read %+v, want %v", got, &want)
		}
		for i, e := range want.Extensions {
			if g := got.Extensions[i]; g.TypeURL != e.Value.GetTypeUrl() || string(g.Value) != string(e.Value.GetValue()) {
				t.Fatalf("extension %d: read %+v, want %v", i, g, e)
			}
		}
	})
}

// FuzzLegacy does the same for an older containerd's options.
func FuzzLegacy(f *testing.F) {
	f.Add(marshal(f, runcOptions(f, "/x")))
	f.Fuzz(func(t *testing.T, input []byte) {
		var want anypb.Any
		werr := proto.Unmarshal(input, &want)
		got, err := bootstrap.Read(input, "an id that is not in the input", "ns")
		if (werr == nil) != (err == nil) {
			t.Fatalf("Read: %v, generated type: %v", err, werr)
		}
		if err != nil || want.TypeUrl == "" {
			return
		}
		if g := got.Extensions[0]; g.TypeURL != want.TypeUrl || string(g.Value) != string(want.Value) {
			t.Fatalf("read %+v, want %v", g, &want)
		}
	})
}
