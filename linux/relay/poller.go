// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"sync"

	"github.com/containerd-mini/mini/linux/sys"
)

// poller tells relays that a file of theirs is ready. There is one, from the first
// relay on, with one goroutine.
type poller struct {
	epoll *sys.Epoll

	mu     sync.Mutex
	last   int32
	relays map[int32]*Relay // guarded by mu; by id
}

var shared = sync.OnceValues(func() (*poller, error) {
	e, err := sys.NewEpoll()
	if err != nil {
		return nil, err
	}
	p := &poller{epoll: e, relays: map[int32]*Relay{}}
	go p.run()
	return p, nil
})

// run ends with the process: epoll_wait has no error that could come about.
func (p *poller) run() {
	for p.epoll.Wait(p.ready) == nil { //nolint:revive // the work is in the condition
	}
}

func (p *poller) ready(id int32) {
	p.mu.Lock()
	r := p.relays[id]
	p.mu.Unlock()
	if r != nil { // it has not ended meanwhile
		r.wake()
	}
}

func (p *poller) add(r *Relay) int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++ // four thousand million execs on
	for p.relays[p.last] != nil {
		p.last++
	}
	p.relays[p.last] = r
	return p.last
}

func (p *poller) remove(r *Relay) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.relays, r.id)
}
