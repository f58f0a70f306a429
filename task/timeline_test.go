// SPDX-License-Identifier: Apache-2.0

package task

import (
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/api/events"
	"google.golang.org/protobuf/proto"

	"github.com/containerd-mini/mini/process"
)

// scene is a timeline with init and two execs.
type scene struct {
	*timeline
	rec   *recorder
	execs map[string]*process.Process
}

func newScene() *scene {
	rec := &recorder{}
	return &scene{newTimeline(newOutbox(rec)), rec, map[string]*process.Process{
		"init": nil, "a": new(process.Process), "b": new(process.Process),
	}}
}

// do does what a line says: "init post started", "a promise started exited".
func (s *scene) do(line string) {
	f := strings.Fields(line)
	for _, name := range f[2:] {
		k := map[string]kind{
			"created": created, "oom": oom, "added": added, "started": started, "paused": paused,
			"resumed": resumed, "exited": exited, "deleted": deleted,
		}[name]
		st := step{s.execs[f[0]], k}
		switch f[1] {
		case "promise":
			s.promise(st)
		case "cancel":
			s.cancel(st)
		case "post":
			s.post(st, message(f[0], k))
		}
	}
}

func message(who string, k kind) proto.Message {
	switch k {
	case created:
		return &events.TaskCreate{}
	case added:
		return &events.TaskExecAdded{ExecID: who}
	case started:
		if who != "init" {
			return &events.TaskExecStarted{ExecID: who}
		}
		return &events.TaskStart{}
	case exited:
		return &events.TaskExit{ID: who}
	case oom:
		return &events.TaskOOM{}
	case paused:
		return &events.TaskPaused{}
	case resumed:
		return &events.TaskResumed{}
	}
	return &events.TaskDelete{}
}

func TestOrderOfEvents(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"a life": {
			"init post created; init promise started; init post started; init post paused; init post resumed; " +
				"init post exited; init post deleted",
			"init create; init start; init paused; init resumed; init exit; init delete",
		},
		"killed before Create has answered": {
			"init post oom; init post exited; init post created",
			"init create; init oom; init exit",
		},
		"dead before Start has answered": {
			"init post created; init promise started; init post exited; init post deleted; init post started",
			"init create; init start; init exit; init delete",
		},
		"a start that failed": {
			"init post created; init promise started; init post exited; init cancel started",
			"init create; init exit",
		},
		"a second start, refused while the first is at work": {
			"init post created; init promise started; init promise started; init cancel started; init post exited; " +
				"init post started",
			"init create; init start; init exit",
		},
		"an exec dead before its Start has answered": {
			"init post created; a post added; a promise started exited; a post exited; a post started",
			"init create; a exec-added; a exec-started; a exit",
		},
		"init dead before its exec was announced": {
			"init post created; init promise started; init post started; a post added; a promise started exited; " +
				"a post exited; init post exited; a post started; init post deleted",
			"init create; init start; a exec-added; a exec-started; a exit; init exit; init delete",
		},
		"init dead before two execs": {
			"init post created; a post added; b post added; a promise started exited; b promise started exited; " +
				"b post started; a post started; init post exited; b post exited; a post exited",
			"init create; a exec-added; b exec-added; b exec-started; a exec-started; b exit; a exit; init exit",
		},
		"an exec that could not be started": {
			"init post created; a post added; a promise started exited; init post exited; a cancel started exited",
			"init create; a exec-added; init exit",
		},
		"an OOM of an exec while init is being started": {
			"init post created; a post added; a promise started exited; a post started; init promise started; " +
				"init post oom; a post exited; init post started",
			"init create; a exec-added; a exec-started; init oom; a exit; init start",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene()
			for line := range strings.SplitSeq(c.script, "; ") {
				s.do(line)
			}
			if got := strings.Join(s.rec.published(t, s.box), "; "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Whatever the order in which requests and exits get to post, the events leave
// in containerd's order and each once.
func TestEveryInterleavingIsInOrder(t *testing.T) {
	// Each actor does its lines in order; an exit needs the promise before it.
	actors := [][]string{
		{"init post created"},
		{"a post added", "a promise started exited", "a post started"},
		{"b post added", "b promise started exited", "b cancel started exited"},
		{"init promise started", "init post started"},
		{"a: promised", "a post exited"},
		{"a: exited", "init: promised", "init post oom", "init post exited", "init post deleted"},
	}
	const seeds = 3000
	for seed := range seeds {
		s := newScene()
		log := play(s, actors, rand.New(rand.NewSource(int64(seed))))
		got := s.rec.published(t, s.box)
		if err := inOrder(got); err != nil {
			t.Fatalf("seed %d: %v\ndone: %s\ngot: %s", seed, err, strings.Join(log, "; "), strings.Join(got, "; "))
		}
	}
}

// play lets the actors take turns at random. A line "x: promised" waits until
// x's start is promised, "x: exited" until its exit was posted.
func play(s *scene, actors [][]string, r *rand.Rand) (log []string) {
	at := make([]int, len(actors))
	done := map[string]bool{}
	for {
		var able []int
		for i, lines := range actors {
			if at[i] == len(lines) {
				continue
			}
			if who, what, ok := strings.Cut(lines[at[i]], ": "); ok &&
				!done[who+map[string]string{"promised": " promise started", "exited": " post exited"}[what]] {
				continue
			}
			able = append(able, i)
		}
		if len(able) == 0 {
			return log
		}
		i := able[r.Intn(len(able))]
		line := actors[i][at[i]]
		at[i]++
		if strings.Contains(line, ": ") {
			continue
		}
		s.do(line)
		done[line] = true
		done[strings.TrimSuffix(line, " exited")] = true
		log = append(log, line)
	}
}

func inOrder(got []string) error {
	want := []string{
		"init create", "init start", "init oom", "init exit", "init delete",
		"a exec-added", "a exec-started", "a exit", "b exec-added",
	}
	if s := slices.Sorted(slices.Values(got)); !slices.Equal(s, slices.Sorted(slices.Values(want))) {
		return fmt.Errorf("not each event once")
	}
	before := func(a, b string) error {
		if slices.Index(got, a) > slices.Index(got, b) {
			return fmt.Errorf("%s after %s", a, b)
		}
		return nil
	}
	errs := []error{
		before("init start", "init exit"), before("init oom", "init exit"), before("init exit", "init delete"),
		before("a exec-added", "a exec-started"), before("a exec-started", "a exit"), before("a exit", "init exit"),
	}
	for _, e := range got {
		errs = append(errs, before("init create", e))
	}
	return errors.Join(errs...)
}
