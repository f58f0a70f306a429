// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/sys"
)

// hookKind is when and where a list of the spec's hooks runs (config.md,
// "POSIX-platform Hooks").
type hookKind string

const (
	hookPrestart        hookKind = "prestart"        // Create, before pivot_root, on the host
	hookCreateRuntime   hookKind = "createRuntime"   // then, likewise
	hookCreateContainer hookKind = "createContainer" // then, in the container's namespaces
	hookStartContainer  hookKind = "startContainer"  // Start, before init's execve, as a process of the container
	hookPoststart       hookKind = "poststart"       // Start, after init's execve, on the host
	hookPoststop        hookKind = "poststop"        // Destroy, when nothing is left, on the host
)

// hookKinds are all, in the order of a container's life.
var hookKinds = []hookKind{hookPrestart, hookCreateRuntime, hookCreateContainer, hookStartContainer, hookPoststart, hookPoststop}

func hookNames() []string {
	names := make([]string, len(hookKinds))
	for i, k := range hookKinds {
		names[i] = string(k)
	}
	return names
}

// list is the spec's hooks of the kind.
func (k hookKind) list(h *specs.Hooks) []specs.Hook {
	if h == nil {
		return nil
	}
	switch k {
	case hookPrestart:
		//lint:ignore SA1019 deprecated, and in use
		return h.Prestart
	case hookCreateRuntime:
		return h.CreateRuntime
	case hookCreateContainer:
		return h.CreateContainer
	case hookStartContainer:
		return h.StartContainer
	case hookPoststart:
		return h.Poststart
	}
	return h.Poststop
}

// checkHooks refuses what the specification forbids of a hook.
func checkHooks(spec *specs.Spec) error {
	for _, kind := range hookKinds {
		for i, h := range kind.list(spec.Hooks) {
			field := fmt.Sprintf("hooks.%s[%d]", kind, i)
			if !path.IsAbs(h.Path) {
				return invalid(field+".path", "%q is not absolute", h.Path)
			}
			if h.Timeout != nil && *h.Timeout <= 0 {
				return invalid(field+".timeout", "%d is not greater than zero", *h.Timeout)
			}
			for _, s := range append(append([]string{h.Path}, h.Args...), h.Env...) {
				if strings.ContainsRune(s, 0) {
					return invalid(field, "a string holds a NUL byte")
				}
			}
		}
	}
	return nil
}

// hooks are a container's hooks, and what of its state they are told in common.
type hooks struct {
	spec  *specs.Hooks // may be nil
	state specs.State
}

func newHooks(bundle, id string, spec *specs.Spec) *hooks {
	return &hooks{spec: spec.Hooks, state: specs.State{
		Version: specs.Version, ID: id, Bundle: bundle, Annotations: spec.Annotations,
	}}
}

// has reports whether there are hooks of one of the kinds.
func (h *hooks) has(kinds ...hookKind) bool {
	for _, k := range kinds {
		if len(k.list(h.spec)) > 0 {
			return true
		}
	}
	return false
}

// seeRootfs reports whether there are hooks in the host's namespaces, which expect
// to find the rootfs where the bundle says. Of poststop this is runc's custom: the
// specification has the container deleted by then, but its rootfs is not part of
// it.
func (h *hooks) seeRootfs() bool {
	return h.has(hookPrestart, hookCreateRuntime, hookPoststart, hookPoststop)
}

// run runs the hooks of a kind one after another, up to the first that fails. pid
// is init's as the hooks see it; 0: there is none any more.
func (h *hooks) run(ctx context.Context, kind hookKind, status specs.ContainerState, pid int, start hookStarter) error {
	return h.runAll(kind, status, pid, func(hook *specs.Hook, state []byte) (bool, error) {
		err := runHook(ctx, hook, state, start)
		return err == nil, err
	})
}

// poststop runs the hooks of that name: all of them, also behind one that fails.
func (h *hooks) poststop(ctx context.Context) error {
	if !h.has(hookPoststop) {
		return nil
	}
	fault.Point("poststop.begin")
	start := hookOnHost(h.state.Bundle)
	return h.runAll(hookPoststop, specs.StateStopped, 0, func(hook *specs.Hook, state []byte) (bool, error) {
		return true, runHook(ctx, hook, state, start)
	})
}

func (h *hooks) runAll(kind hookKind, status specs.ContainerState, pid int, one func(*specs.Hook, []byte) (next bool, err error)) error {
	list := kind.list(h.spec)
	if len(list) == 0 {
		return nil
	}
	state, err := h.stateText(status, pid)
	if err != nil {
		return err
	}
	var errs []error
	for i := range list {
		next, err := one(&list[i], state)
		if err != nil {
			errs = append(errs, fmt.Errorf("run %s hook %d %s: %w", kind, i, list[i].Path, err))
		}
		if !next {
			break
		}
	}
	return errors.Join(errs...)
}

// stateText is the container's state as JSON (runtime.md, "State"), without the
// escapes that encoding/json has for browsers: hooks look for paths in it.
func (h *hooks) stateText(status specs.ContainerState, pid int) ([]byte, error) {
	s := h.state
	s.Status, s.Pid = status, pid
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(&s); err != nil {
		return nil, fmt.Errorf("write the state for hooks: %w", err)
	}
	return b.Bytes(), nil
}

// innerPid is the pid of a process in its own pid namespace: the last of NSpid in
// its status (proc_pid_status(5)).
func innerPid(pid int) (int, error) {
	b, err := sys.ReadProc(strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("NSpid:")); ok {
			f := bytes.Fields(rest)
			return strconv.Atoi(string(f[len(f)-1]))
		}
	}
	return 0, fmt.Errorf("read the pid of process %d in its namespace: no NSpid", pid)
}

// warn tells f of an error, if there are both.
func warn(f func(error), err error) {
	if f != nil && err != nil {
		f(err)
	}
}
