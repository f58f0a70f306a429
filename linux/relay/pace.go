// SPDX-License-Identifier: Apache-2.0

package relay

import "time"

const (
	// pace is how long a relay rests at first that is woken for little again and again;
	// shorter the runtime does not sleep (netpoll).
	pace = time.Millisecond
	// maxPace is how long it rests in a flood that is slow. It is what a line may be late.
	maxPace = 4 * pace
	// budget is how many little moves in that time make it rest.
	budget = 8
	// maxBudget is what it grows to when that was wrong.
	maxBudget = 512 * budget
	// little is a move that was hardly worth it. Larger ones are never held up.
	little = 16 << 10
	// much is a move for which a pipe of the usual 64 KiB was nearly full: its writer
	// waits for us.
	much = 48 << 10
	// fullSize is what busy pipes are grown to. On Linux 6.18 a pipe passes 1.4 GB/s with
	// 64 KiB, 3.7 with this and no more with 1 MiB.
	fullSize = 256 << 10
	// idle is how long after the last move pipes keep that.
	idle = time.Second
	// unarmed is how often a file is looked at that epoll does not take.
	unarmed = 20 * time.Millisecond
)

// pacer finds out when to rest: after a budget of little moves at a rate of budget in
// pace. What comes after the rest tells a flood, where there is much then, for which
// each move is followed by a rest, from a conversation, where the writer has waited for
// us: that is not held up again soon.
type pacer struct {
	budget int
	since  time.Time
	moves  int // little ones since then
	bytes  int // of these

	length time.Duration // of the rest that the next move comes after, or 0
	usual  int           // bytes of a move before the first rest
	dry    int           // rests after which there was nothing
	woken  bool          // the next move comes after a wait
}

// rest is how long to rest after a move of n bytes.
func (p *pacer) rest(n int) time.Duration {
	if p.woken && n < little {
		p.woken = false
		return p.length
	}
	if p.length > 0 {
		return p.restAgain(n)
	}
	if n >= little {
		return 0
	}
	p.moves++
	p.bytes += n
	if p.moves < max(p.budget, budget) {
		return 0
	}
	now := time.Now()
	if now.Sub(p.since) < pace*time.Duration(p.moves/budget) {
		p.length = pace
	}
	p.usual = p.bytes / p.moves
	p.restart(now)
	return p.length
}

// restAgain is rest after a rest. It is to leave a pipe that is an eighth to a quarter
// full.
func (p *pacer) restAgain(n int) time.Duration {
	switch {
	case n > fullSize/2: // there would not be the room
		p.length = 0
	case n < 2*p.usual:
		p.length = 0
		p.budget = min(8*max(p.budget, budget), maxBudget)
	case n > fullSize/4:
		p.length = max(p.length/2, pace)
	case n < fullSize/8:
		p.length = min(2*p.length, maxPace)
	}
	p.woken, p.dry = false, 0
	if p.length > 0 {
		p.budget = budget
	} else {
		p.restart(time.Now())
	}
	return p.length
}

// idle is told that there is nothing to move. A writer of a flood may have been taken
// off its CPU: if it goes on, the first move is followed by a rest again.
func (p *pacer) idle() {
	if p.length == 0 {
		return
	}
	p.dry++
	p.woken = p.dry < 3
	if !p.woken {
		p.length, p.dry = 0, 0
		p.restart(time.Now())
	}
}

func (p *pacer) restart(now time.Time) { p.since, p.moves, p.bytes = now, 0, 0 }
