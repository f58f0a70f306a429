// SPDX-License-Identifier: Apache-2.0

package task

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

func packAs(t *testing.T, url string, m proto.Message) *anypb.Any {
	t.Helper()
	value, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return &anypb.Any{TypeUrl: url, Value: value}
}

// A section of containerd's configuration as CRI passes it on.
const criSection = `
# runc's own keys
BinaryName = '/usr/bin/runc'
CriuImagePath = ""
IoGid = 1_000
IoUid = 0x3e8
NoNewKeyring = true
NoPivotRoot = false # a comment
Root = "/run/\u006dini\t"
ShimCgroup = '/a"b'
"SystemdCgroup" = true
`

func TestOptionsOfEveryClient(t *testing.T) {
	file := filepath.Join(t.TempDir(), "options.toml")
	if err := os.WriteFile(file, []byte(criSection), 0o600); err != nil {
		t.Fatal(err)
	}
	want := &options.Options{
		BinaryName: "/usr/bin/runc", IoUid: 1000, IoGid: 1000, NoNewKeyring: true,
		Root: "/run/mini\t", ShimCgroup: `/a"b`, SystemdCgroup: true,
	}
	for name, c := range map[string]struct {
		any  *anypb.Any
		want *options.Options
	}{
		"none":               {nil, &options.Options{}},
		"empty":              {&anypb.Any{TypeUrl: "anything"}, &options.Options{}},
		"runc":               {packAs(t, "containerd.runc.v1.Options", want), want},
		"runc with a prefix": {packAs(t, "type.googleapis.com/containerd.runc.v1.Options", want), want},
		"generic": {packAs(
			t,
			"runtimeoptions.v1.Options",
			&runtimeoptions.Options{ConfigBody: []byte(criSection)},
		), want},
		"generic, before containerd 1.3": {
			packAs(t, "cri.runtimeoptions.v1.Options", &runtimeoptions.Options{ConfigBody: []byte(criSection)}), want,
		},
		"generic by a file": {packAs(t, "runtimeoptions.v1.Options", &runtimeoptions.Options{ConfigPath: file}), want},
		"keys of CRI itself": {
			packAs(t, "runtimeoptions.v1.Options", &runtimeoptions.Options{ConfigBody: []byte("TypeUrl='x'\nConfigPath=''")}),
			&options.Options{},
		},
	} {
		got, err := DecodeOptions(c.any)
		if err != nil || !proto.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, c.want)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	body := func(s string) *anypb.Any {
		return packAs(t, "runtimeoptions.v1.Options", &runtimeoptions.Options{ConfigBody: []byte(s)})
	}
	for want, a := range map[string]*anypb.Any{
		`type "x.Options" is not known`:                  {TypeUrl: "x.Options", Value: []byte{1}},
		"cannot parse":                                   {TypeUrl: "containerd.runc.v1.Options", Value: []byte{0xff}},
		"line 2: SystemdCgroups: unknown option":         body("\nSystemdCgroups = true"),
		"SystemdCgroup: true is not a boolean":           body("SystemdCgroup = 'true'"),
		"IoUid: -1 is not an id":                         body("IoUid = -1"),
		"IoUid: 4294967296 is not an id":                 body("IoUid = 4294967296"),
		"line 2: IoUid: given twice":                     body("IoUid = 1\nIoUid = 2"),
		"tables are not supported":                       body("[options]\nIoUid = 1"),
		`"1.5" is not a boolean, an integer or a string`: body("IoUid = 1.5"),
		`"010" is not a boolean`:                         body("IoUid = 010"),
		"string does not end":                            body("Root = 'x"),
		"multi-line":                                     body("Root = '''x'''"),
		"no value":                                       body("Root ="),
		"no = after the key":                             body("Root"),
		`"x" after the value`:                            body("NoPivotRoot = true x"),
		"no such file": packAs(
			t,
			"runtimeoptions.v1.Options",
			&runtimeoptions.Options{ConfigPath: "/nonexistent"},
		),
	} {
		_, err := DecodeOptions(a)
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an invalid argument with %q", err, want)
		}
	}
}

// FuzzDecodeOptions decodes whatever a client sends as options.
func FuzzDecodeOptions(f *testing.F) {
	for _, m := range []proto.Message{
		&options.Options{NoPivotRoot: true, IoUid: 5},
		&runtimeoptions.Options{ConfigBody: []byte(criSection)},
	} {
		value, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(runcOptions, value)
		f.Add("type.googleapis.com/"+genericOptions, value)
	}
	f.Fuzz(func(t *testing.T, url string, value []byte) {
		var g runtimeoptions.Options
		if proto.Unmarshal(value, &g) == nil && g.ConfigPath != "" {
			return // not whatever file it is
		}
		o, err := DecodeOptions(&anypb.Any{TypeUrl: url, Value: value})
		if (o == nil) == (err == nil) || err != nil && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%v, %v", o, err)
		}
		_, err = decodeCheckpointOptions(&anypb.Any{TypeUrl: url, Value: value})
		if err != nil && !errdefs.IsInvalidArgument(err) {
			t.Error(err)
		}
	})
}
