// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/containerd/containerd/api/events"
	ttrpcevents "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// eventService stands where containerd's would, and notes the exits it is told of.
type eventService struct {
	mu    sync.Mutex
	exits []string // guarded by mu
}

func (s *eventService) Forward(_ context.Context, r *ttrpcevents.ForwardRequest) (*emptypb.Empty, error) {
	var e events.TaskExit
	if r.Envelope.Topic == "/tasks/exit" && r.Envelope.Event.UnmarshalTo(&e) == nil {
		s.mu.Lock()
		s.exits = append(s.exits, fmt.Sprintf("%s %s %d", e.ContainerID, e.ID, e.ExitStatus))
		s.mu.Unlock()
	}
	return &emptypb.Empty{}, nil
}

// TestExitsOfALongAbsence: all that ended while containerd was away is told, once
// and in order, to whoever takes its place.
func TestExitsOfALongAbsence(t *testing.T) {
	miniAlone(t, func(t *testing.T, h *harness, _ string) {
		group := h.pod()
		gates := t.TempDir()
		// until is a process that ends when the gate is opened.
		until := func(gate string, code int) string {
			return fmt.Sprintf("while [ ! -e /home/%s ]; do sleep 0.05; done; exit %d", gate, code)
		}
		pids := map[string][]uint32{} // by gate
		var want []string
		for i := range 8 {
			opts := []oci.SpecOpts{sh(until("inits", 10+i)), bind(gates, "/home")}
			if i%2 == 0 {
				opts = append(opts, group)
			}
			c := h.start(opts...)
			pids["inits"] = append(pids["inits"], c.Pid())
			for j := range 3 {
				spec, err := c.Spec(h.ctx)
				h.must(err)
				spec.Process.Args = []string{"sh", "-c", until("execs", 100+j)}
				id := fmt.Sprintf("%s-e%d", c.ID(), j)
				p, err := c.Exec(h.ctx, id, spec.Process, cio.NullIO)
				h.must(err)
				h.must(p.Start(h.ctx))
				pids["execs"] = append(pids["execs"], p.Pid())
				want = append(want, fmt.Sprintf("%s %s %d", c.ID(), id, 100+j))
			}
			want = append(want, fmt.Sprintf("%s %s %d", c.ID(), c.ID(), 10+i))
		}
		h.must(h.d.Kill())
		for _, gate := range []string{"execs", "inits"} { // an init takes its execs along
			h.must(os.WriteFile(filepath.Join(gates, gate), nil, 0o600))
			for _, pid := range pids[gate] {
				h.eventually(func() error {
					if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
						return fmt.Errorf("process %d of the %s has not ended", pid, gate)
					}
					return nil
				})
			}
		}
		address := h.d.Address() + ".ttrpc"
		if err := os.Remove(address); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		l, err := net.Listen("unix", address)
		h.must(err)
		service := &eventService{}
		server, err := ttrpc.NewServer()
		h.must(err)
		ttrpcevents.RegisterTTRPCEventsService(server, service)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = server.Serve(h.ctx, l) // until it is closed
		}()
		h.eventually(func() error {
			service.mu.Lock()
			defer service.mu.Unlock()
			if len(service.exits) < len(want) {
				return fmt.Errorf("%d exits of %d", len(service.exits), len(want))
			}
			return nil
		})
		h.must(server.Close())
		<-done
		got := slices.Clone(service.exits)
		for i, line := range got {
			var c, p string
			var code int
			_, err := fmt.Sscanf(line, "%s %s %d", &c, &p, &code)
			h.must(err)
			for _, later := range got[i+1:] {
				var other string
				_, err := fmt.Sscanf(later, "%s", &other)
				h.must(err)
				if c == p && other == c {
					t.Errorf("%q came after the exit of init", later)
				}
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("exits: got %q, want %q", got, want)
		}
		h.must(h.d.Restart(h.ctx))
	})
}
