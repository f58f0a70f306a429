// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	api "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/log"
	"github.com/containerd/ttrpc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// confusedWorkers call a shim at once, each confusedTime long.
const (
	confusedWorkers = 6
	confusedTime    = 2 * time.Second
)

// TestConfusedClient: a client that calls a shim in any order, from several
// goroutines, with what comes to its mind, gets an answer each time, with a class, and
// leaves the shim well. MINI_SEED repeats what each goroutine asks for, though not
// what comes before what; CONFUSED_SECONDS is how long it goes on.
func TestConfusedClient(t *testing.T) {
	miniOnly(t, func(t *testing.T, h *harness) {
		limit := confusedTime
		if s := os.Getenv("CONFUSED_SECONDS"); s != "" {
			n, err := strconv.Atoi(s)
			h.must(err)
			limit = time.Duration(n) * time.Second
			h.cancel()
			h.ctx, h.cancel = context.WithTimeout(bed.Context(context.Background()), limit+testenv.Patience(testTimeout))
		}
		group := h.pod()
		anchor := h.start(group, forever())
		anchor.expect("ready")
		c := &confused{h: h, rootfs: map[string][]*types.Mount{}}
		for range 3 {
			task := h.create(group, sh("exit 3"))
			c.ids = append(c.ids, task.ID())
			mounts, err := h.d.Client.SnapshotService("overlayfs").Mounts(h.ctx, task.ID())
			h.must(err)
			for _, m := range mounts {
				c.rootfs[task.ID()] = append(c.rootfs[task.ID()], &types.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options})
			}
		}
		files := len(h.fds(anchor.shim()))
		c.run(filepath.Join(h.d.StateDir(), anchor.ID(), "address"), limit)
		out, errs, code := anchor.execs(sh("echo well"))
		if out != "well\n" || code != 0 {
			t.Errorf("afterwards: %q, %q, exit code %d", out, errs, code)
		}
		c.settle()
		h.eventually(func() error {
			if now := h.fds(anchor.shim()); len(now) > files+h.slack() {
				return fmt.Errorf("%d files before, now %v", files, now)
			}
			return nil
		})
		for _, id := range c.ids {
			h.remove(id)
		}
		anchor.kill()
	})
}

type confused struct {
	h      *harness
	ids    []string
	rootfs map[string][]*types.Mount
	shim   api.TTRPCTaskService

	mu    sync.Mutex
	calls map[string]int // guarded by mu; by method and outcome
}

// run calls the shim at the address that the file holds.
func (c *confused) run(file string, limit time.Duration) {
	h := c.h
	address, err := os.ReadFile(file)
	h.must(err)
	conn, err := net.Dial("unix", strings.TrimPrefix(string(address), "unix://"))
	h.must(err)
	client := ttrpc.NewClient(conn)
	h.must(log.SetLevel("panic")) // ttrpc tells of each answer to a Wait that was given up
	h.Cleanup(func() {
		client.Close()
		h.must(log.SetLevel("info"))
	})
	c.shim, c.calls = api.NewTTRPCTaskClient(client), map[string]int{}

	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("MINI_SEED"); s != "" {
		seed, err = strconv.ParseUint(s, 10, 64)
		h.must(err)
	}
	h.Logf("MINI_SEED=%d", seed)
	end := time.Now().Add(limit)
	var workers sync.WaitGroup
	for i := range confusedWorkers {
		workers.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for time.Now().Before(end) && !h.Failed() {
				c.call(r)
			}
		})
	}
	workers.Wait()
	for _, k := range slices.Sorted(maps.Keys(c.calls)) {
		h.Logf("%6d %s", c.calls[k], k)
	}
}

// call makes one call and looks at its outcome.
func (c *confused) call(r *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience(30*time.Second))
	defer cancel()
	id := one(r, append(slices.Clone(c.ids), c.ids...)...)
	if r.IntN(20) == 0 {
		id = one(r, "", "nobody", "../..", strings.Repeat("x", 300), "a/b", "\x00")
	}
	exec := one(r, "", "e1", "e2", "e3", "e3", "e/../../4", strings.Repeat("y", 1000))
	name, err := c.one(ctx, r, id, exec)
	code := status.Code(err)
	c.mu.Lock()
	c.calls[name+" "+code.String()]++
	c.mu.Unlock()
	if name == "Wait" && code == codes.DeadlineExceeded {
		return
	}
	switch {
	case code == codes.DeadlineExceeded || code == codes.Unavailable || code == codes.Internal:
		c.h.Errorf("%s of %.20q %.20q: %v", name, id, exec, err)
	case code == codes.Unknown:
		// Of the ways to meet another's end some may be rarer than all that was tried.
		c.h.Logf("%s of %.20q %.20q has no class: %v", name, id, exec, err)
		if os.Getenv("CONFUSED_SECONDS") != "" {
			c.h.Fail()
		}
	}
	if errors.Is(err, ttrpc.ErrClosed) {
		c.h.Errorf("%s of %.20q %.20q ended the shim", name, id, exec)
	}
}

func (c *confused) one(ctx context.Context, r *rand.Rand, id, exec string) (name string, err error) {
	switch r.IntN(24) {
	case 0, 1:
		return "Create", c.create(ctx, id)
	case 2, 3, 4, 5:
		_, err = c.shim.Start(ctx, &api.StartRequest{ID: id, ExecID: exec})
		return "Start", err
	case 6, 7:
		_, err = c.shim.Delete(ctx, &api.DeleteRequest{ID: id, ExecID: exec})
		return "Delete", err
	case 8, 9, 10:
		_, err = c.shim.Exec(ctx, &api.ExecProcessRequest{ID: id, ExecID: exec, Spec: confusedProcess(r), Terminal: r.IntN(4) == 0})
		return "Exec", err
	case 11, 12:
		_, err = c.shim.Kill(ctx, &api.KillRequest{ID: id, ExecID: exec, Signal: one[uint32](r, 0, 9, 9, 9, 15, 19, 18, 65, 1<<31, 1<<32-1), All: r.IntN(2) == 0})
		return "Kill", err
	case 13:
		_, err = c.shim.Pause(ctx, &api.PauseRequest{ID: id})
		return "Pause", err
	case 14, 15:
		_, err = c.shim.Resume(ctx, &api.ResumeRequest{ID: id})
		return "Resume", err
	case 16:
		value := one(r, `{}`, `null`, `{"devices":[{"allow":true,"access":"rwm"}]}`, `{"memory":{"limit":-9}}`, `{"pids":{"limit":-1}}`, `[`, ``, strings.Repeat("[", 20000))
		_, err = c.shim.Update(ctx, &api.UpdateTaskRequest{ID: id, Resources: &anypb.Any{Value: []byte(value)}})
		return "Update", err
	case 17:
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		_, err = c.shim.Wait(short, &api.WaitRequest{ID: id, ExecID: exec})
		if short.Err() != nil { // whoever says so first
			err = status.FromContextError(short.Err()).Err()
		}
		return "Wait", err
	case 18:
		_, err = c.shim.Pids(ctx, &api.PidsRequest{ID: id})
		return "Pids", err
	case 19:
		_, err = c.shim.Stats(ctx, &api.StatsRequest{ID: id})
		return "Stats", err
	case 20:
		_, err = c.shim.ResizePty(ctx, &api.ResizePtyRequest{ID: id, ExecID: exec, Width: r.Uint32N(70000), Height: r.Uint32()})
		return "ResizePty", err
	case 21:
		_, err = c.shim.CloseIO(ctx, &api.CloseIORequest{ID: id, ExecID: exec, Stdin: true})
		return "CloseIO", err
	case 22:
		_, err = c.shim.Checkpoint(ctx, &api.CheckpointTaskRequest{ID: id, Path: one(r, "", "relative", "/no/such/dir")})
		return "Checkpoint", err
	}
	if r.IntN(2) == 0 {
		_, err = c.shim.Shutdown(ctx, &api.ShutdownRequest{ID: id, Now: true})
		return "Shutdown", err
	}
	_, err = c.shim.State(ctx, &api.StateRequest{ID: id, ExecID: exec})
	return "State", err
}

func (c *confused) create(ctx context.Context, id string) error {
	_, err := c.shim.Create(ctx, &api.CreateTaskRequest{ID: id, Bundle: filepath.Join(c.h.d.StateDir(), id), Rootfs: c.rootfs[id]})
	return err
}

// confusedProcess is the process of an exec.
func confusedProcess(r *rand.Rand) *anypb.Any {
	p := specs.Process{Args: one(r, []string{"sleep", "1000"}, []string{"true"}, []string{"sh", "-c", "sleep 1000 & exit 4"}, nil, []string{"none"}), Cwd: one(r, "/", "/", "x"), Env: []string{"PATH=/bin"}}
	text, err := json.Marshal(p)
	if err != nil || r.IntN(10) == 0 {
		text = []byte(one(r, "", "null", "{", `{"args":[5]}`))
	}
	return &anypb.Any{Value: text}
}

// settle has a task for each container again, for containerd to delete.
func (c *confused) settle() {
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience(20*time.Second))
	defer cancel()
	for _, id := range c.ids {
		_, err := c.shim.State(ctx, &api.StateRequest{ID: id})
		if status.Code(err) == codes.NotFound {
			err = c.create(ctx, id)
		}
		c.h.must(err)
		if _, err = c.shim.Delete(ctx, &api.DeleteRequest{ID: id}); err == nil { // with all its execs
			err = c.create(ctx, id)
		} else if _, err = c.shim.Kill(ctx, &api.KillRequest{ID: id, Signal: 9, All: true}); err == nil {
			if _, err = c.shim.Wait(ctx, &api.WaitRequest{ID: id}); err == nil {
				if _, err = c.shim.Delete(ctx, &api.DeleteRequest{ID: id}); err == nil {
					err = c.create(ctx, id)
				}
			}
		}
		c.h.must(err)
	}
}
