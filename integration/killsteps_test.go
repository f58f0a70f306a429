// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// Who is killed at a fault point. "containerd-early" is started again before
// those who are held go on, "containerd" after.
const (
	theShim       = "shim"
	theChild      = "child" // all that the shim has started; of a child's own point that one
	theContainerd = "containerd"
	theEarly      = "containerd-early"
	theVerb       = "verb"
	theLogger     = "logger"
)

// steps are the operations with fault points: who is killed in them, and how one
// comes to them. arm is called right before what is to be held.
var steps = map[string]struct {
	victims []string
	opts    func(h *harness) []oci.SpecOpts // forever, if nil
	run     func(h *harness, c client.Container, arm func()) error
}{
	"create":     {victims: []string{theShim, theChild, theContainerd}, run: createHeld},
	"join":       {victims: []string{theShim, theChild, theContainerd}, opts: joinedUserNamespace, run: createHeld},
	"share":      {victims: []string{theShim, theChild, theContainerd}, opts: joinedPIDNamespace, run: createHeld},
	"procfs":     {victims: []string{theShim, theChild, theContainerd}, opts: joinedPIDNamespace, run: createHeld},
	"copyup":     {victims: []string{theShim, theChild, theContainerd}, opts: copiedUp, run: createHeld},
	"outside":    {victims: []string{theShim, theChild, theContainerd}, opts: fromKilledCgroup, run: createHeld},
	"hooks":      {victims: []string{theShim, theChild, theContainerd}, opts: allHooks, run: createHeld},
	"logger":     {victims: []string{theShim, theLogger, theContainerd}, opts: short, run: withLogger},
	"start":      {victims: []string{theShim, theChild, theContainerd}, run: onTask(client.Task.Start, nil)},
	"starthooks": {victims: []string{theShim, theChild, theContainerd}, opts: allHooks, run: onTask(client.Task.Start, nil)},
	"poststop":   {victims: []string{theShim, theContainerd}, opts: allHooks, run: deleteHeld},
	"exec":       {victims: []string{theShim, theChild, theContainerd}, run: onTask(nil, execHeld)},
	"room":       {victims: []string{theShim, theChild, theContainerd}, run: onTask(nil, execHeld)},
	"kill":       {victims: []string{theShim, theChild, theContainerd}, run: onTask(nil, killHeld)},
	"pause":      {victims: []string{theShim, theChild, theContainerd}, run: onTask(nil, client.Task.Pause)},
	"resume":     {victims: []string{theShim, theChild, theContainerd}, run: onTask(nil, resumeHeld)},
	"update":     {victims: []string{theShim, theChild, theContainerd}, run: onTask(nil, updateHeld)},
	// The task ends with exit code 7; see aftermath.
	"exit":     {victims: []string{theShim, theContainerd}, opts: short, run: onTask(client.Task.Start, nil)},
	"delete":   {victims: []string{theShim, theContainerd}, run: deleteHeld},
	"shutdown": {victims: []string{theShim, theContainerd, theEarly}, run: deleteHeld},
	"verb":     {victims: []string{theVerb, theContainerd, theEarly}, run: deleteHeld},
	"cleanup":  {victims: []string{theVerb, theContainerd, theEarly}, run: shimKilled},
	// These two where criu works, in the virtual machine: checkpointSteps.
	"checkpoint": {victims: []string{theShim, theChild, theContainerd}, run: onTask(nil, checkpointHeld)},
	"restore":    {victims: []string{theShim, theChild, theContainerd}, run: restoreHeld},
	"launch":     {victims: []string{theVerb, theContainerd, theEarly}, run: createHeld},
	"daemon":     {victims: []string{theShim, theContainerd, theEarly}, run: createHeld},
}

// killTimeout bounds a call whose shim was killed. containerd notices within
// milliseconds.
const killTimeout = 20 * time.Second

// TestKillAtEachStep kills each party at each step of all that a shim does, and
// of the verbs; then nothing is left, what was recorded is told, and the same id
// can be used again.
func TestKillAtEachStep(t *testing.T) {
	points := map[string][]faultPoint{}
	for _, p := range faultPoints(t) {
		points[p.operation()] = append(points[p.operation()], p)
		if _, ok := steps[p.operation()]; !ok {
			t.Errorf("%s: no test leads to this point", p.name)
		}
	}
	for _, p := range checkpointSteps {
		if !slices.Contains(points[p.operation()], p) {
			t.Errorf("%s is no fault point", p.name)
		}
	}
	if n := len(points["checkpoint"]) + len(points["restore"]); n != len(checkpointSteps) {
		t.Errorf("checkpointSteps lacks some of %d", n)
	}
	for operation := range steps {
		if len(points[operation]) == 0 {
			t.Errorf("no fault point in %s", operation)
		}
		if operation == "checkpoint" || operation == "restore" {
			continue
		}
		t.Run(operation, func(t *testing.T) {
			if operation == "outside" && !testenv.CountsKills(t) {
				t.Skip("this kernel does not count the uses of cgroup.kill")
			}
			if operation == "procfs" && testenv.KernelSince(t, 6, 18) {
				t.Skip("a procfs of this kernel has the parameter pidns")
			}
			miniAlone(t, func(t *testing.T, h *harness, faults string) {
				killAtAll(t, h, faults, points[operation], steps[operation].victims...)
			})
		})
	}
}

// killAtAll kills each of the victims at each of the points.
func killAtAll(t *testing.T, h *harness, faults string, points []faultPoint, victims ...string) {
	for _, point := range points {
		for _, victim := range victims {
			t.Run(point.name+"/"+victim, func(t *testing.T) {
				h := newHarness(t, mini, h.d)
				defer h.cancel()
				killAt(h, h.hold(faults, point), victim)
			})
		}
	}
}

// checkpointSteps are the steps of checkpoint and restore. The virtual machine has
// no source to find them in.
var checkpointSteps = []faultPoint{
	{name: "checkpoint.started"},
	{name: "checkpoint.stopped"},
	{name: "restore.started"},
	{name: "restore.stopped"},
	{name: "restore.made"},
}

// TestVMKillAtEachCheckpointStep is TestKillAtEachStep with a working criu. Where not
// all combinations are to be tested, another is killed at each point.
func TestVMKillAtEachCheckpointStep(t *testing.T) {
	testenv.Needs(t, testenv.Program("criu"))
	miniAlone(t, func(t *testing.T, h *harness, faults string) {
		for i, point := range checkpointSteps {
			victims := steps[point.operation()].victims
			if !testenv.Full() {
				victims = []string{victims[i%len(victims)]}
			}
			killAtAll(t, h, faults, []faultPoint{point}, victims...)
		}
	})
}

// killAt holds the operation at the point, kills the victim, and lets go.
func killAt(h *harness, point *holder, victim string) {
	h.Helper()
	step := steps[point.point.operation()]
	opts := []oci.SpecOpts{forever()}
	if step.opts != nil {
		opts = step.opts(h)
	}
	c := h.container(opts...)
	h.Cleanup(point.release)
	h.released = make(chan struct{})
	exits := h.record(c.ID())
	ctx := h.ctx
	var cancel context.CancelFunc
	h.ctx, cancel = context.WithTimeout(ctx, testenv.Patience(killTimeout))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- step.run(h, c, point.arm) }()
	child := point.await(done)
	strike(h, victim, child)
	if victim == theEarly {
		h.must(h.d.Restart(ctx))
	}
	point.release()
	close(h.released)
	<-done // with an error or without
	if err := h.ctx.Err(); err != nil {
		h.Errorf("%s did not end: %v", point.point.operation(), err)
	}
	if victim == theContainerd {
		h.must(h.d.Restart(ctx))
	}
	h.ctx = ctx
	aftermath(h, c.ID(), point.point, victim, exits)
}

func strike(h *harness, victim string, child int) {
	h.Helper()
	var match func(p bed.Process) bool
	switch victim {
	case theContainerd, theEarly:
		h.must(h.d.Kill())
		return
	case theShim: // its parent may be the verb that made it, for a moment
		match = func(p bed.Process) bool { return p.Parent == 1 && strings.Contains(p.Args, "-address") }
	case theVerb:
		match = func(p bed.Process) bool { return p.Parent == h.d.Pid() }
	case theLogger:
		match = func(p bed.Process) bool { return strings.Contains(p.Args, "/logger") }
	case theChild:
		match = func(p bed.Process) bool {
			return p.Parent != 1 && p.Parent != h.d.Pid() && (child == 0 || p.Pid == child)
		}
	}
	h.eventually(func() error {
		pids := h.processes(match)
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // some are dead
		}
		if len(pids) == 0 && victim != theChild && victim != theLogger { // there is none at some steps
			return fmt.Errorf("no %s to kill", victim)
		}
		return nil
	})
}

// aftermath looks at what is left of the container, which may be in any state, and
// uses its id again.
func aftermath(h *harness, id string, point faultPoint, victim string, exits *recorder) {
	h.Helper()
	if victim == theShim && point.operation() == "exit" {
		code := 7
		if point.name == "exit.dead" {
			code = 137 // known to nobody but the shim
		}
		h.eventually(func() error {
			if line := fmt.Sprintf("exit init %d", code); !slices.Contains(exits.all(), line) {
				return fmt.Errorf("no %q in %q", line, exits.all())
			}
			return nil
		})
	}
	if victim == theVerb && point.operation() == "launch" {
		h.eventually(h.socketsAreServed) // nobody calls the verb delete for it
	}
	if victim == theVerb && point.operation() != "launch" {
		// containerd tries again when it starts, not before.
		h.must(h.d.Kill())
		h.must(h.d.Restart(h.ctx))
	}
	c, err := h.d.Client.LoadContainer(h.ctx, id)
	h.must(err)
	if task, err := c.Task(h.ctx, nil); err == nil {
		status, err := task.Delete(h.ctx, client.WithProcessKill)
		if err != nil && !errdefs.IsNotFound(err) {
			h.Errorf("delete: %v", err)
		}
		want := uint32(137)
		if point.operation() == "exit" || point.operation() == "logger" {
			want = 7
		}
		if point.operation() == "restore" && victim == theChild && point.name != "restore.made" {
			want = 255 // there never was an init
		}
		if point.operation() == "restore" && victim == theContainerd && err == nil && status.ExitCode() == 255 {
			want = 255 // likewise, where the restore saw that nobody waits for it any more
		}
		ended := err == nil && (want != 7 || point.name != "logger.started" && point.name != "logger.ready")
		if ended && status.ExitCode() != want {
			h.Errorf("exit code %d, want %d", status.ExitCode(), want)
		}
	}
	joins := []string{"join", "share", "procfs"}
	if slices.Contains(joins, point.operation()) && (victim == theShim || victim == theChild && !point.inChild) {
		return // the namespace to join is gone with the pod
	}
	h.eventually(func() error { return again(h, c) })
}

// socketsAreServed is an error if there is a socket on which nobody listens.
func (h *harness) socketsAreServed() error {
	sockets, err := filepath.Glob(h.d.SocketDir() + "/*")
	h.must(err)
	for _, path := range sockets {
		conn, err := net.Dial("unix", path)
		if err != nil && !errors.Is(err, syscall.ENOENT) {
			return err
		}
		if err == nil {
			h.must(conn.Close())
		}
	}
	return nil
}

// again makes the container's task once more.
func again(h *harness, c client.Container) error {
	task, err := c.NewTask(h.ctx, cio.NullIO)
	if err != nil {
		return err
	}
	exit, err := task.Wait(h.ctx)
	h.must(err)
	h.must(task.Start(h.ctx))
	if err := task.Kill(h.ctx, syscall.SIGKILL); err != nil && !errdefs.IsNotFound(err) {
		h.Fatal(err)
	}
	status := <-exit
	h.must(status.Error())
	_, err = task.Delete(h.ctx)
	h.must(err)
	return nil
}

func createHeld(h *harness, c client.Container, arm func()) error {
	arm()
	_, err := c.NewTask(h.ctx, cio.NullIO)
	return err
}

// onTask makes a task and starts it. held, or else start, is what is to be held.
func onTask(start, held func(client.Task, context.Context) error) func(*harness, client.Container, func()) error {
	return func(h *harness, c client.Container, arm func()) error {
		task, err := c.NewTask(h.ctx, cio.NullIO)
		if err != nil {
			return err
		}
		exit, err := task.Wait(h.ctx)
		if err != nil {
			return err
		}
		if start != nil {
			arm()
			err := start(task, h.ctx)
			if err == nil && strings.Contains(h.Name(), "/exit.") {
				<-exit
			}
			return err
		}
		if err := task.Start(h.ctx); err != nil {
			return err
		}
		return held(armed{task, arm}, h.ctx)
	}
}

// armed is a task at whose calls the point is armed.
type armed struct {
	client.Task
	arm func()
}

func (a armed) Pause(ctx context.Context) error {
	a.arm()
	return a.Task.Pause(ctx)
}

func execHeld(t client.Task, ctx context.Context) error {
	s, err := t.Spec(ctx)
	if err != nil {
		return err
	}
	t.(armed).arm()
	p, err := t.Exec(ctx, "held", s.Process, cio.NullIO)
	if err != nil {
		return err
	}
	return p.Start(ctx)
}

func killHeld(t client.Task, ctx context.Context) error {
	t.(armed).arm()
	return t.Kill(ctx, syscall.SIGKILL)
}

func resumeHeld(t client.Task, ctx context.Context) error {
	if err := t.(armed).Task.Pause(ctx); err != nil {
		return err
	}
	t.(armed).arm()
	return t.Resume(ctx)
}

func updateHeld(t client.Task, ctx context.Context) error {
	t.(armed).arm()
	allow := specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"}
	return t.Update(ctx, client.WithResources(&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{allow}}))
}

// deleteHeld comes to the steps of the delete, and of the shutdown behind it.
func deleteHeld(h *harness, c client.Container, arm func()) error {
	return onTask(nil, func(t client.Task, ctx context.Context) error {
		exit, err := t.Wait(ctx)
		if err != nil {
			return err
		}
		if err := t.Kill(ctx, syscall.SIGKILL); err != nil {
			return err
		}
		<-exit
		arm()
		_, err = t.Delete(ctx)
		return err
	})(h, c, arm)
}

func checkpointHeld(t client.Task, ctx context.Context) error {
	dir, err := os.MkdirTemp("", "images-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t.(armed).arm()
	_, err = t.Checkpoint(ctx, checkpointTo(filepath.Join(dir, "images"), &options.CheckpointOptions{}))
	return err
}

// restoreHeld comes to the steps of the start of a container of a checkpoint.
func restoreHeld(h *harness, c client.Container, arm func()) error {
	dir := h.images()
	err := onTask(nil, func(t client.Task, ctx context.Context) error {
		exit, err := t.Wait(ctx)
		if err != nil {
			return err
		}
		if _, err := t.Checkpoint(ctx, checkpointTo(dir, &options.CheckpointOptions{Exit: true})); err != nil {
			return err
		}
		<-exit
		_, err = t.Delete(ctx)
		return err
	})(h, c, func() {})
	if err != nil {
		return err
	}
	t, err := c.NewTask(h.ctx, cio.NullIO, client.WithRestoreImagePath(dir))
	if err != nil {
		return err
	}
	arm()
	return t.Start(h.ctx)
}

// shimKilled has containerd call the verb `delete`, and waits for that until the
// test is done with it.
func shimKilled(h *harness, c client.Container, arm func()) error {
	return onTask(nil, func(t client.Task, ctx context.Context) error {
		arm()
		strike(h, theShim, 0)
		<-h.released
		return nil
	})(h, c, arm)
}

// short is a process that ends by itself.
func short(*harness) []oci.SpecOpts { return []oci.SpecOpts{sh("exit 7")} }

// withLogger runs a task with a binary logger to its end.
func withLogger(h *harness, c client.Container, arm func()) error {
	dir := h.TempDir()
	program := filepath.Join(dir, "logger")
	if err := os.WriteFile(program, []byte(logger), 0o755); err != nil {
		return err
	}
	arm()
	uri := mustURL("binary://" + program + "?" + filepath.Join(dir, "log"))
	task, err := c.NewTask(h.ctx, cio.LogURI(uri))
	if err != nil {
		return err
	}
	exit, err := task.Wait(h.ctx)
	if err != nil {
		return err
	}
	if err := task.Start(h.ctx); err != nil {
		return err
	}
	if status := <-exit; status.Error() == nil && status.ExitCode() != 7 {
		return fmt.Errorf("exit code %d, want 7", status.ExitCode())
	}
	_, err = task.Delete(h.ctx)
	return err
}

// fromKilledCgroup is for a shim whose children are not born in their cgroup.
func fromKilledCgroup(h *harness) []oci.SpecOpts {
	h.killedShimCgroup()
	return []oci.SpecOpts{forever()}
}

// joinedUserNamespace are the options of a container that joins the user
// namespace of another in its pod, which makes a process that joins it first and
// clones init then.
func joinedUserNamespace(h *harness) []oci.SpecOpts { return joined(h, specs.UserNamespace) }

// joinedPIDNamespace is joinedUserNamespace with the pid namespace as well, where the new
// namespaces are made without a clone.
func joinedPIDNamespace(h *harness) []oci.SpecOpts {
	return joined(h, specs.UserNamespace, specs.PIDNamespace)
}

func joined(h *harness, kinds ...specs.LinuxNamespaceType) []oci.SpecOpts {
	const id = 100000
	group := h.pod()
	first, err := h.container(group, userNamespace(id), forever()).NewTask(h.ctx, cio.NullIO)
	h.must(err)
	h.must(first.Start(h.ctx))
	opts := []oci.SpecOpts{group, userNamespace(id), forever()}
	for _, kind := range kinds {
		opts = append(opts, namespace(kind, fmt.Sprintf("/proc/%d/ns/%s", first.Pid(), kind)))
	}
	return opts
}

// copiedUp is a container with a tmpfs that begins with the files it covers.
func copiedUp(*harness) []oci.SpecOpts {
	return []oci.SpecOpts{mount("tmpfs", "tmpfs", "/etc", "tmpcopyup"), forever()}
}
