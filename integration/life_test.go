// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"

	"github.com/containerd-mini/mini/integration/bed"
)

// life is one container of a soak, from its making to its removal.
type life struct {
	s       *soak
	id, pod string
	rand    *rand.Rand
	client  *client.Client
	epoch   int
	ctx     context.Context

	codes []uint32          // that init may end with, as far as the life has come
	execs map[string]uint32 // that were to be started and not deleted, with their exit codes
	owns  bool              // there is a task, and nobody has asked for its end to be forgotten
}

// callLimit bounds a life's calls. Nothing takes more than seconds, even beside a
// restart, and what hangs is a failure.
const callLimit = 90 * time.Second

// liveWith lives one life; started is called once it runs, and ending before it
// ends.
func (s *soak) liveWith(id, pod string, r *rand.Rand, started, ending func()) {
	s.made.Add(1)
	l := &life{s: s, id: id, pod: pod, rand: r, execs: map[string]uint32{}, codes: []uint32{137}}
	l.client, l.epoch = s.now()
	var cancel context.CancelFunc
	l.ctx, cancel = context.WithTimeout(bed.Context(context.Background()), callLimit)
	defer cancel()
	err := l.run(started, ending)
	if err == nil {
		return
	}
	if wrong := (wrongCode{}); errors.As(err, &wrong) || !l.disturbed() {
		s.h.Errorf("%s: %v", id, err)
		return
	}
	s.disturbed.Add(1)
	var serr error
	for range 20 {
		if serr = l.settle(); serr == nil {
			return
		}
		if wrong := (wrongCode{}); errors.As(serr, &wrong) {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	s.h.Errorf("%s: %v; and then: %v", id, err, serr)
}

// disturbed reports whether the life's containerd or shim was ended.
func (l *life) disturbed() bool {
	_, epoch := l.s.now()
	return epoch != l.epoch || l.s.shimKilled(l.pod)
}

func (l *life) run(started, ending func()) error {
	code := uint32(1 + l.rand.IntN(100))
	image, err := l.client.GetImage(l.ctx, bed.Image)
	if err != nil {
		return err
	}
	spec := []oci.SpecOpts{oci.WithImageConfig(image), sh(fmt.Sprintf("trap 'exit %d' TERM; sleep 1000000 & wait", code))}
	if l.pod != l.id || l.rand.IntN(2) == 0 {
		spec = append(spec, oci.WithAnnotations(map[string]string{"io.kubernetes.cri.sandbox-id": l.pod}))
	}
	c, err := l.client.NewContainer(l.ctx, l.id, client.WithImage(image), client.WithNewSnapshot(l.id, image),
		client.WithRuntime(mini, nil), client.WithNewSpec(spec...))
	if err != nil {
		return err
	}
	task, err := c.NewTask(l.ctx, cio.NullIO)
	if err != nil {
		return err
	}
	l.owns = true
	exit, err := task.Wait(l.ctx)
	if err != nil {
		return err
	}
	if err := task.Start(l.ctx); err != nil {
		return err
	}
	started()
	for n := range l.rand.IntN(2 * (1 + l.s.execs/l.s.containers)) {
		if err := l.exec(task, fmt.Sprintf("%s-e%d", l.id, n)); err != nil {
			ending()
			return err
		}
	}
	if l.rand.IntN(4) == 0 {
		if err := task.Pause(l.ctx); err != nil {
			ending()
			return err
		}
		if err := task.Resume(l.ctx); err != nil {
			ending()
			return err
		}
	}
	ending()
	return l.end(c, task, exit, code)
}

// exec runs one exec and checks its exit code.
func (l *life) exec(task client.Task, id string) error {
	spec, err := task.Spec(l.ctx)
	if err != nil {
		return err
	}
	code := uint32(l.rand.IntN(100))
	spec.Process.Args = []string{"sh", "-c", fmt.Sprintf("exit %d", code)}
	l.execs[id] = code
	p, err := task.Exec(l.ctx, id, spec.Process, cio.NullIO)
	if err != nil {
		return err
	}
	exit, err := p.Wait(l.ctx)
	if err != nil {
		return err
	}
	if err := p.Start(l.ctx); err != nil {
		return err
	}
	status := <-exit
	if status.Error() != nil {
		return status.Error()
	}
	l.s.ran.Add(1)
	if status.ExitCode() != code {
		return wrongCode{id, status.ExitCode(), []uint32{code}}
	}
	if _, err := p.Delete(l.ctx); err != nil {
		return err
	}
	delete(l.execs, id)
	return nil
}

// end ends the container, by SIGTERM or by SIGKILL, and removes it.
func (l *life) end(c client.Container, task client.Task, exit <-chan client.ExitStatus, code uint32) error {
	signal, want := syscall.SIGKILL, uint32(137)
	if l.rand.IntN(2) == 0 {
		signal, want = syscall.SIGTERM, code
	}
	l.codes = append(l.codes, want)
	// The shell may not have set its trap yet: then SIGTERM, of init, goes nowhere.
	for signal == syscall.SIGTERM {
		if err := task.Kill(l.ctx, signal); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		select {
		case status := <-exit:
			return l.ended(c, task, status, want)
		case <-time.After(time.Second):
		}
	}
	if err := task.Kill(l.ctx, signal); err != nil {
		return err
	}
	return l.ended(c, task, <-exit, want)
}

func (l *life) ended(c client.Container, task client.Task, status client.ExitStatus, want uint32) error {
	if status.Error() != nil {
		return status.Error()
	}
	if status.ExitCode() != want {
		return wrongCode{l.id, status.ExitCode(), []uint32{want}}
	}
	l.owns = false
	status2, err := task.Delete(l.ctx)
	if err != nil {
		return err
	}
	if status2.ExitCode() != want {
		return wrongCode{l.id, status2.ExitCode(), []uint32{want}}
	}
	return c.Delete(l.ctx, client.WithSnapshotCleanup)
}

// settle removes what there is of a life that was disturbed. What of it lived on
// has its true exit code.
func (l *life) settle() error {
	cl, _ := l.s.now()
	ctx, cancel := context.WithTimeout(bed.Context(context.Background()), callLimit)
	defer cancel()
	c, err := cl.LoadContainer(ctx, l.id)
	if errdefs.IsNotFound(err) {
		return ignoreNotFound(cl.SnapshotService("").Remove(ctx, l.id))
	}
	if err != nil {
		return err
	}
	task, err := c.Task(ctx, nil)
	if errdefs.IsNotFound(err) && l.owns && !l.s.shimKilled(l.pod) {
		return fmt.Errorf("the task is lost: %w", errors.New(err.Error()))
	}
	if err == nil {
		l.owns = false
		err = l.settleTask(ctx, task)
	}
	if ignoreNotFound(err) != nil {
		return err
	}
	return c.Delete(ctx, client.WithSnapshotCleanup)
}

func (l *life) settleTask(ctx context.Context, task client.Task) error {
	for id, code := range l.execs {
		p, err := task.LoadProcess(ctx, id, nil)
		if errdefs.IsNotFound(err) {
			continue // not made, or deleted and we were not told
		}
		if err != nil {
			return err
		}
		status, err := p.Status(ctx)
		if err != nil {
			return err
		}
		if status.Status == client.Stopped && status.ExitStatus != code && !l.s.shimKilled(l.pod) {
			return wrongCode{id, status.ExitStatus, []uint32{code}}
		}
	}
	status, err := task.Delete(ctx, client.WithProcessKill)
	if err != nil {
		return err
	}
	if !slices.Contains(l.codes, status.ExitCode()) {
		return wrongCode{l.id, status.ExitCode(), l.codes}
	}
	return nil
}

// wrongCode is what no disturbance excuses.
type wrongCode struct {
	id   string
	got  uint32
	want []uint32
}

func (w wrongCode) Error() string {
	return fmt.Sprintf("exit code of %s is %d, want one of %v", w.id, w.got, w.want)
}

func ignoreNotFound(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
