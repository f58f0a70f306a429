// SPDX-License-Identifier: Apache-2.0

package criu

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/checkpoint-restore/go-criu/v7/rpc"
	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// allOptions returns Options with every field set.
func allOptions(dir *os.File) *Options {
	return &Options{
		Images:          dir,
		Work:            dir,
		LogFile:         "dump.log",
		Pid:             42,
		Root:            "/root",
		LeaveRunning:    true,
		ExtUnixSockets:  true,
		TCPEstablished:  true,
		EvasiveDevices:  true,
		ShellJob:        true,
		FileLocks:       true,
		OrphanPTSMaster: true,
		RstSibling:      true,
		TrackMem:        true,
		ParentImage:     "../p",
		LSMProfile:      "apparmor:x",
		FreezeCgroup:    "/cg",
		ConfigFile:      "/c.conf",
		EmptyNS:         1 << 30,
		Cgroups:         CgroupFull,
		Externals:       []string{"net[1]:n", "file[1:2]"},
		Mounts:          []Pair{{"/a", "b"}},
		CgroupRoots:     []Pair{{"", "/x"}},
		Inherit:         []Inherit{{"pipe:[1]", dir}, {"pipe:[2]", dir}},
		JoinNS:          []Pair{{"ipc", "/ns"}},
	}
}

func TestRequestIsWhatCRIUsBindingReads(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	o := allOptions(dir)
	for i := range reflect.ValueOf(*o).NumField() {
		if reflect.ValueOf(*o).Field(i).IsZero() {
			t.Errorf("%s is not set: it is not tested", reflect.TypeOf(*o).Field(i).Name)
		}
	}
	var got rpc.CriuReq
	if err := proto.Unmarshal(request(Dump, o), &got); err != nil {
		t.Fatal(err)
	}
	fd := proto.Int32(int32(dir.Fd()))
	yes, full := proto.Bool(true), rpc.CriuCgMode_FULL
	want := &rpc.CriuReq{Type: rpc.CriuReqType_DUMP.Enum(), Opts: &rpc.CriuOpts{
		ImagesDirFd:       fd,
		WorkDirFd:         fd,
		LogFile:           proto.String("dump.log"),
		LogLevel:          proto.Int32(4),
		Pid:               proto.Int32(42),
		Root:              proto.String("/root"),
		LeaveRunning:      yes,
		ExtUnixSk:         yes,
		TcpEstablished:    yes,
		EvasiveDevices:    yes,
		ShellJob:          yes,
		FileLocks:         yes,
		NotifyScripts:     yes,
		OrphanPtsMaster:   yes,
		RstSibling:        yes,
		TrackMem:          yes,
		ParentImg:         proto.String("../p"),
		LsmProfile:        proto.String("apparmor:x"),
		FreezeCgroup:      proto.String("/cg"),
		ConfigFile:        proto.String("/c.conf"),
		EmptyNs:           proto.Uint32(1 << 30),
		ManageCgroups:     yes,
		ManageCgroupsMode: &full,
		External:          []string{"net[1]:n", "file[1:2]"},
		ExtMnt:            []*rpc.ExtMountMap{{Key: proto.String("/a"), Val: proto.String("b")}},
		CgRoot:            []*rpc.CgroupRoot{{Path: proto.String("/x")}},
		InheritFd: []*rpc.InheritFd{
			{Key: proto.String("pipe:[1]"), Fd: proto.Int32(4)},
			{Key: proto.String("pipe:[2]"), Fd: proto.Int32(5)},
		},
		JoinNs: []*rpc.JoinNamespace{{Ns: proto.String("ipc"), NsFile: proto.String("/ns")}},
	}}
	if !proto.Equal(&got, want) {
		t.Errorf("got  %v\nwant %v", &got, want)
	}
	noUnknown(t, got.ProtoReflect())
}

func TestAnswerToANotification(t *testing.T) {
	var got rpc.CriuReq
	if err := proto.Unmarshal(proceed(), &got); err != nil {
		t.Fatal(err)
	}
	want := &rpc.CriuReq{Type: rpc.CriuReqType_NOTIFY.Enum(), NotifySuccess: proto.Bool(true)}
	if !proto.Equal(&got, want) {
		t.Errorf("got %v, want %v", &got, want)
	}
}

// noUnknown fails the test if the binding does not know a field that was written.
func noUnknown(t *testing.T, m protoreflect.Message) {
	t.Helper()
	if len(m.GetUnknown()) > 0 {
		t.Errorf("%s: fields that are not criu's: %x", m.Descriptor().Name(), m.GetUnknown())
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() != protoreflect.MessageKind:
		case f.IsList():
			for i := range v.List().Len() {
				noUnknown(t, v.List().Get(i).Message())
			}
		default:
			noUnknown(t, v.Message())
		}
		return true
	})
}

func TestResponseOfCRIUsBinding(t *testing.T) {
	for _, c := range []struct {
		resp *rpc.CriuResp
		want response
	}{
		{
			&rpc.CriuResp{
				Type:    rpc.CriuReqType_RESTORE.Enum(),
				Success: proto.Bool(true),
				Restore: &rpc.CriuRestoreResp{Pid: proto.Int32(7)},
			},
			response{kind: Restore, success: true, pid: 7},
		},
		{
			notification("post-restore"),
			response{kind: kindNotify, success: true, notify: Notification{Script: "post-restore", Pid: 8}},
		},
		{
			&rpc.CriuResp{
				Type:     rpc.CriuReqType_DUMP.Enum(),
				Success:  proto.Bool(false),
				CrErrno:  proto.Int32(3),
				CrErrmsg: proto.String("why"),
			},
			response{kind: Dump, errno: 3, message: "why"},
		},
		{
			&rpc.CriuResp{
				Type:     rpc.CriuReqType_FEATURE_CHECK.Enum(),
				Success:  proto.Bool(true),
				Features: &rpc.CriuFeatures{MemTrack: proto.Bool(true)},
			},
			response{kind: kindFeature, success: true, tracks: true},
		},
		{
			&rpc.CriuResp{Type: rpc.CriuReqType_VERSION.Enum(), Success: proto.Bool(true), Version: &rpc.CriuVersion{
				MajorNumber: proto.Int32(3),
				MinorNumber: proto.Int32(17),
				Sublevel:    proto.Int32(1),
				Gitid:       proto.String("g"),
			}},
			response{kind: kindVersion, success: true, version: 31701},
		},
	} {
		b, err := proto.Marshal(c.resp)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseResponse(b)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("got %+v, %v, want %+v", got, err, c.want)
		}
	}
}

func notification(script string) *rpc.CriuResp {
	return &rpc.CriuResp{
		Type:    rpc.CriuReqType_NOTIFY.Enum(),
		Success: proto.Bool(true),
		Notify:  &rpc.CriuNotify{Script: proto.String(script), Pid: proto.Int32(8)},
	}
}

func FuzzResponse(f *testing.F) {
	b, err := proto.Marshal(notification("x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseResponse(b)
		if err != nil && !reflect.DeepEqual(got, response{}) {
			t.Errorf("%+v with %v", got, err)
		}
	})
}

func TestVersionString(t *testing.T) {
	for v, want := range map[version]string{31701: "3.17.1", 40000: "4.0", 31500: "3.15"} {
		if v.String() != want {
			t.Errorf("%d: got %s, want %s", v, v, want)
		}
	}
}

func TestReason(t *testing.T) {
	const log = `(00.005) Dumping task
(00.010) Error (criu/files-reg.c:1831): Can't lookup mount=15 for fd=0 path=/dev/null
(00.011) ----------------------------------------
(00.012) Error (criu/cr-dump.c:1768): Dumping FAILED.
`
	const want = "Can't lookup mount=15 for fd=0 path=/dev/null; Dumping FAILED."
	if got := Reason(strings.NewReader(log)); got != want {
		t.Errorf("got %q", got)
	}
	long := strings.Repeat("x", 1<<20) + "\nError (a.c:1): after a long line\n"
	if got := Reason(strings.NewReader(long)); got != "after a long line" {
		t.Errorf("got %q", got)
	}
	if got := Reason(strings.NewReader("(00.1) fine\n")); got != "" {
		t.Errorf("got %q", got)
	}
	if got := Reason(strings.NewReader("Error (x): " + strings.Repeat("y", 4000) + "\n")); len(got) > 2*maxReason {
		t.Errorf("%d bytes", len(got))
	}
}

// program makes a criu from a shell script.
func program(t *testing.T, script string) *Config {
	path := filepath.Join(t.TempDir(), "criu")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Config{Path: path, Start: func(cmd *exec.Cmd) (func() error, error) { return cmd.Wait, cmd.Start() }}
}

func TestNoCriu(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Find(); !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "criu") {
		t.Errorf("got %v", err)
	}
}

func TestCriuThatDoesNotWork(t *testing.T) {
	for name, script := range map[string]string{"ends": "exit 1", "says nothing": "exec 3>&-; exit 0"} {
		if err := Check(t.Context(), program(t, script)); !errdefs.IsNotImplemented(err) || !errors.Is(err, ErrFailed) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
