// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/containerd-mini/mini/process"
)

// Config says what a Service works with.
type Config struct {
	Namespace string // containerd's, of all its containers
	Publisher Publisher
	// Shutdown is called, from a request, when the last container is gone and
	// containerd says so. It must not wait for the request's end.
	Shutdown func()
}

// Service is the task service of one shim: the containers of one pod, or one.
// It is safe for concurrent use. Close releases it.
type Service struct {
	namespace string
	shutdown  func()
	outbox    *outbox
	stopReap  func()

	// creating counts the Creates under way. Added to under mu while not closed,
	// waited for once closed.
	creating sync.WaitGroup

	mu     sync.Mutex
	tasks  map[string]*task // guarded by mu
	closed bool             // guarded by mu; no task may be created
}

// New starts a service. Precondition: the process is a child subreaper.
func New(cfg Config) *Service {
	return &Service{
		namespace: cfg.Namespace,
		shutdown:  cfg.Shutdown,
		outbox:    newOutbox(cfg.Publisher),
		stopReap:  process.ReapOrphans(),
		tasks:     map[string]*task{},
	}
}

// lastWords bounds the publishing of the remaining events in Close: containerd may be
// away, and what it then needs is on disk.
const lastWords = 3 * time.Second

// Close ends every container, releases all and publishes the remaining events, as far as
// ctx allows. It also waits for a Create that hangs in the kernel, on a mount whose server
// does not answer: nobody else can undo it. From then on requests neither find a container
// nor make one.
func (s *Service) Close(ctx context.Context) error {
	s.mu.Lock()
	tasks := s.tasks
	s.tasks, s.closed = map[string]*task{}, true
	s.mu.Unlock()

	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error // guarded by mu
	)
	for _, t := range tasks {
		if t.container == nil {
			continue // its Create finds the id gone and takes the container back
		}
		wg.Go(func() {
			// The task's TaskDelete is containerd's to publish, which finds the shim gone.
			if err := t.container.Close(ctx); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	errs = append(errs, s.awaitCreates(ctx))
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	errs = append(errs, s.outbox.close(ctx))
	s.stopReap()
	return errors.Join(errs...)
}

// awaitCreates waits until every Create under way has ended. Precondition: closed.
func (s *Service) awaitCreates(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.creating.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a create to end: %w", ctx.Err())
	}
}

// reserve takes an id for a container that is to be created; the caller calls
// creating.Done when its Create ends.
func (s *Service) reserve(id string) (*task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, shuttingDown(id)
	}
	if s.tasks[id] != nil {
		return nil, fmt.Errorf("create task %s: id is in use: %w", id, errdefs.ErrAlreadyExists)
	}
	t := &task{events: newTimeline(s.outbox)}
	s.tasks[id] = t
	s.creating.Add(1)
	return t, nil
}

func shuttingDown(id string) error {
	return fmt.Errorf("create task %s: shim is shutting down: %w", id, errdefs.ErrUnavailable)
}

// enter makes a created container known, unless Close came in between.
func (s *Service) enter(id string, t *task, c *process.Container) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks[id] != t {
		return false
	}
	t.container = c
	return true
}

// leave gives an id back.
func (s *Service) leave(id string, t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks[id] == t {
		delete(s.tasks, id)
	}
}

// find is the created task of that id. It never waits for work on any task.
func (s *Service) find(id string) (*task, *process.Container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[id]
	if t == nil || t.container == nil {
		return nil, nil, fmt.Errorf("task %s: container not created: %w", id, errdefs.ErrNotFound)
	}
	return t, t.container, nil
}

// findProcess is the init, or the exec, of a request.
func (s *Service) findProcess(id, execID string) (*task, *process.Process, error) {
	t, c, err := s.find(id)
	if err != nil {
		return nil, nil, err
	}
	p, err := c.Process(execID)
	return t, p, err
}

// closeIfEmpty reports whether no container exists or is being made. If so none is
// made from then on: the caller ends the shim, and would kill it.
func (s *Service) closeIfEmpty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tasks) > 0 {
		return false
	}
	s.closed = true
	return true
}
