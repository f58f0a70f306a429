// SPDX-License-Identifier: Apache-2.0

package task

import (
	"github.com/containerd/containerd/api/events"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/containerd-mini/mini/process"
)

// task is a container with its events. container is nil while it is being
// created, and the id is taken; guarded by Service.mu.
type task struct {
	container *process.Container
	events    *timeline
}

// notify makes events of what happens to the container by itself.
func (t *task) notify(id string) process.Notify {
	return process.Notify{
		Added: func(p *process.Process) {
			t.events.post(step{p, added}, &events.TaskExecAdded{ContainerID: id, ExecID: p.ID()})
		},
		Exited: func(p *process.Process, e process.Exit) {
			t.events.post(step{execOf(p), exited}, &events.TaskExit{
				ContainerID: id, ID: p.ID(), Pid: uint32(e.Pid), ExitStatus: e.Code, ExitedAt: timestamppb.New(e.At),
			})
		},
		Late: func(p *process.Process) { t.events.giveUp(p) },
		OOM:  func() { t.events.post(step{nil, oom}, &events.TaskOOM{ContainerID: id}) },
	}
}

// promiseStart is called before a start is tried; withdraw when it failed.
func (t *task) promiseStart(p *process.Process) (withdraw func()) {
	steps := []step{{execOf(p), started}}
	if !p.IsInit() { // init's exit is promised from the beginning
		steps = append(steps, step{p, exited})
	}
	t.events.promise(steps...)
	return func() { t.events.cancel(steps...) }
}

// started announces a start that was promised.
func (t *task) started(id string, p *process.Process, pid uint32) {
	var e proto.Message = &events.TaskStart{ContainerID: id, Pid: pid}
	if !p.IsInit() {
		e = &events.TaskExecStarted{ContainerID: id, ExecID: p.ID(), Pid: pid}
	}
	t.events.post(step{execOf(p), started}, e)
}

// deleted announces the end of the task.
func (t *task) deleted(id string, e process.Exit) {
	t.events.post(step{nil, deleted}, &events.TaskDelete{
		ContainerID: id, Pid: uint32(e.Pid), ExitStatus: e.Code, ExitedAt: timestamppb.New(e.At),
	})
}

// execOf is the process in a step: nil for init, which has events before New
// has returned it.
func execOf(p *process.Process) *process.Process {
	if p.IsInit() {
		return nil
	}
	return p
}
