// SPDX-License-Identifier: Apache-2.0

package process

import "errors"

// claim does work that takes a state of its own: it moves by o, works without
// a lock, and moves on by done or failed. The process may end meanwhile; then
// it stays ended.
func (p *Process) claim(o, done, failed op, work func() error) error {
	if err := p.move(o); err != nil {
		return err
	}
	if err := work(); err != nil {
		p.must(failed)
		return err
	}
	p.must(done)
	return nil
}

// may asks whether o is allowed now.
func (p *Process) may(o op) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.nextLocked(o)
	return err
}

// move takes the state that o leads to, or returns a *stateError.
func (p *Process) move(o op) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.moveLocked(o)
}

// must is move where the table leaves no doubt.
func (p *Process) must(o op) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mustLocked(o)
}

func (p *Process) mustLocked(o op) {
	if err := p.moveLocked(o); err != nil {
		panic(err)
	}
}

func (p *Process) moveLocked(o op) error {
	next, err := p.nextLocked(o)
	if err == nil {
		p.state = next
		if p.changed != nil {
			close(p.changed)
			p.changed = nil
		}
	}
	return err
}

// stateUntil returns the state and a channel that is closed when it changes.
func (p *Process) stateUntil() (State, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.state, p.changed
}

func (p *Process) nextLocked(o op) (State, error) {
	next, err := p.state.next(o)
	var refused *stateError
	if errors.As(err, &refused) {
		refused.Object = p.object()
	}
	return next, err
}
