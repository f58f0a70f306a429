// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	api "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

func TestOnlyTheFirstRequestOfAConnectionIsFirst(t *testing.T) {
	var first []bool
	note := func(ctx context.Context, _ *api.PidsRequest) (*api.PidsResponse, error) {
		first = append(first, firstRequest(ctx))
		return &api.PidsResponse{}, nil
	}
	nothing := func(context.Context, *api.ShutdownRequest) (*emptypb.Empty, error) { return &emptypb.Empty{}, nil }
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	server.RegisterService(serviceV3, &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{
		"Pids": method(note), "Connect": method(nothing), "State": later(nothing),
	}})
	t.Cleanup(func() { server.Close() })
	s := &Service{}
	for _, c := range []struct {
		calls []string
		want  []bool
	}{
		{[]string{"Pids", "Pids"}, []bool{true, false}},
		{[]string{"Connect", "Connect", "Pids", "Connect", "Pids"}, []bool{true, false}},
		{[]string{"State", "Pids"}, []bool{false}},
		{[]string{"Connect", "State", "Connect", "Pids"}, []bool{false}},
	} {
		l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = server.Serve(s.Connected(context.Background()), l) }()
		conn, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		client := ttrpc.NewClient(conn)
		first = nil
		for _, name := range c.calls {
			if err := client.Call(t.Context(), serviceV3, name, &emptypb.Empty{}, &emptypb.Empty{}); err != nil {
				t.Fatal(err)
			}
		}
		client.Close()
		if len(first) != len(c.want) || first[0] != c.want[0] || first[len(first)-1] != c.want[len(c.want)-1] {
			t.Errorf("%q: got %v, want %v", c.calls, first, c.want)
		}
	}
}
