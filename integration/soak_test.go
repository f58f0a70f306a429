// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-mini/mini/integration/bed"
	"github.com/containerd-mini/mini/integration/testenv"
)

// Bounds of the shim that lives through the whole soak (but not with the race
// detector, which takes memory of its own), beside what it had at
// first: it collects garbage from 32 MB up while it is busy, and rests at a few.
const (
	soakPeak  = 40 << 10 // kB anonymous, at any time
	soakRest  = 8 << 10  // kB anonymous more, at rest
	soakFiles = 4        // descriptors more, at rest
)

// soak is many lives at once, some of which are disturbed: shims are killed and
// containerd is restarted, as seed says.
type soak struct {
	h    *harness
	rand *rand.Rand // chaos's own
	seed uint64

	containers, execs    int // to be made
	made, ran, disturbed atomic.Int64
	kills, restarts      int // chaos's

	mu     sync.RWMutex
	client *client.Client  // guarded by mu
	epoch  int             // guarded by mu; restarts of containerd so far
	killed map[string]bool // guarded by mu; pods whose shim was killed
}

// TestSoak runs SOAK_CONTAINERS containers with SOAK_EXECS execs in them, alone and
// in pods, and checks every exit code, the memory and the files of a shim, and
// that nothing is left. SOAK_SEED repeats the order of the disturbances.
func TestSoak(t *testing.T) {
	number := func(name string, otherwise int) int {
		n, _ := strconv.Atoi(os.Getenv(name))
		return cmp.Or(n, otherwise)
	}
	testenv.Root(t)
	if !slices.Contains(runtimes(), mini) {
		t.Skipf("%s is not in RUNTIMES", mini)
	}
	aloneWith(t, mini, shimsDir("test"), func(t *testing.T, h *harness, _ string) { // no fault points
		s := &soak{
			h: h, containers: number("SOAK_CONTAINERS", 80), execs: number("SOAK_EXECS", 400),
			seed: uint64(number("SOAK_SEED", int(time.Now().UnixNano()))), client: h.d.Client, killed: map[string]bool{},
		}
		t.Logf("SOAK_SEED=%d SOAK_CONTAINERS=%d SOAK_EXECS=%d", s.seed, s.containers, s.execs)
		s.rand = rand.New(rand.NewPCG(s.seed, 0))
		h.cancel()
		h.ctx, h.cancel = context.WithTimeout(bed.Context(context.Background()), 2*time.Hour)
		s.run()
	})
}

// run has workers live lives, chaos disturb them, and a pet watched.
func (s *soak) run() {
	h := s.h
	pet := h.newID()
	petGroup := oci.WithAnnotations(map[string]string{"io.kubernetes.cri.sandbox-id": pet})
	first := h.containerID(pet, petGroup, sh("sleep 1000000 & wait"))
	task, err := first.NewTask(h.ctx, cio.NullIO)
	h.must(err)
	h.must(task.Start(h.ctx))
	pid := s.shimOf(pet)
	time.Sleep(3 * time.Second) // it settles
	files, memory := len(h.fds(pid)), anonymous(h, pid)

	done := make(chan struct{})
	var wg, work sync.WaitGroup
	var peak int
	wg.Go(func() { s.chaos(pet, done) })
	wg.Go(func() {
		for sleep(done, 500*time.Millisecond) {
			peak = max(peak, anonymous(h, pid))
		}
	})
	const workers = 6
	begin := time.Now()
	for w := range workers {
		work.Go(func() { s.work(w, pet, rand.New(rand.NewPCG(s.seed, uint64(w)+1))) })
	}
	work.Wait()
	close(done)
	wg.Wait()
	h.Logf("%d containers, %d execs, %d lives disturbed by %d killed shims and %d restarts in %v",
		s.made.Load(), s.ran.Load(), s.disturbed.Load(), s.kills, s.restarts, time.Since(begin).Round(time.Second))

	var filesLeft, memoryLeft int
	for end := time.Now().Add(45 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
		// After half a minute without a request the shim gives memory back.
		filesLeft, memoryLeft = len(h.fds(pid)), anonymous(h, pid)
		if filesLeft <= files+soakFiles && (memoryLeft <= memory+soakRest || os.Getenv("MINI_SHIM") == "race") {
			break
		}
	}
	h.Logf("the pet's shim: %d kB anonymous before, %d at most, %d after; %d files before, %d after", memory, peak, memoryLeft, files, filesLeft)
	if race := os.Getenv("MINI_SHIM") == "race"; !race && (peak > soakPeak || memoryLeft > memory+soakRest) || filesLeft > files+soakFiles {
		h.Errorf("the shim grew")
	}
	// What a containerd left that was killed, its successor removes at its start.
	h.must(h.d.Shutdown())
	h.must(h.d.Restart(h.ctx))
	h.remove(pet)
}

// sleep returns false when done is closed.
func sleep(done <-chan struct{}, d time.Duration) bool {
	select {
	case <-done:
		return false
	case <-time.After(d):
		return true
	}
}

// anonymous is a process's RssAnon in kB.
func anonymous(h *harness, pid int) int { return kilobytes(h, pid, "RssAnon:") }

// kilobytes is a figure in a process's status.
func kilobytes(h *harness, pid int, name string) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		h.Errorf("the shim is gone: %v", err)
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}

// shimOf is the pid of the shim that was started for the container.
func (s *soak) shimOf(id string) int {
	pids := s.h.processes(func(p bed.Process) bool { return strings.Contains(p.Args, " -id "+id+" -address") })
	if len(pids) != 1 {
		s.h.Fatalf("shims of %s: %v", id, pids)
	}
	return pids[0]
}

// chaos disturbs until done.
func (s *soak) chaos(pet string, done <-chan struct{}) {
	for sleep(done, time.Duration(200+s.rand.IntN(600))*time.Millisecond) {
		if s.rand.IntN(4) > 0 {
			s.killShim(pet)
			continue
		}
		s.mu.Lock()
		s.epoch++
		s.restarts++
		var err error
		if s.rand.IntN(2) == 0 {
			err = s.h.d.Kill()
		} else {
			err = s.h.d.Shutdown()
		}
		if err == nil {
			time.Sleep(time.Duration(s.rand.IntN(300)) * time.Millisecond)
			err = s.h.d.Restart(s.h.ctx)
		}
		s.client = s.h.d.Client
		s.mu.Unlock()
		if err != nil {
			s.h.Errorf("restart containerd: %v", err)
			return
		}
	}
}

// killShim kills one, but not the pet's.
func (s *soak) killShim(pet string) {
	all, err := bed.Processes()
	if err != nil {
		s.h.Error(err)
		return
	}
	var shims []bed.Process
	for _, p := range all {
		// What containerd starts has the address before the id, a daemon after it.
		if p.Parent == 1 && strings.HasSuffix(p.Args, " -address "+s.h.d.Address()) && !strings.Contains(p.Args, " -id "+pet+" ") {
			shims = append(shims, p)
		}
	}
	if len(shims) == 0 {
		return
	}
	victim := shims[s.rand.IntN(len(shims))]
	_, rest, _ := strings.Cut(victim.Args, " -id ")
	pod, _, _ := strings.Cut(rest, " ")
	s.mu.Lock()
	s.killed[pod] = true
	s.mu.Unlock()
	s.kills++
	_ = syscall.Kill(victim.Pid, syscall.SIGKILL) // it may have ended
}

// now is the client of the containerd that runs, and how often it was restarted.
func (s *soak) now() (*client.Client, int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.client, s.epoch
}

func (s *soak) shimKilled(pod string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.killed[pod]
}

// work lives lives until there were enough: alone, in the pet's pod, or as a pod.
func (s *soak) work(worker int, pet string, r *rand.Rand) {
	for n := 0; (s.made.Load() < int64(s.containers) || s.ran.Load() < int64(s.execs)) && !s.h.Failed(); n++ {
		id := fmt.Sprintf("soak-%d-%d", worker, n)
		switch r.IntN(4) {
		case 0:
			s.live(id, pet, r)
		case 1:
			var members sync.WaitGroup
			s.liveWith(id, id, r, func() {
				for m := range 1 + r.IntN(3) {
					own := rand.New(rand.NewPCG(r.Uint64(), 0))
					members.Go(func() { s.live(fmt.Sprintf("%s-%d", id, m), id, own) })
				}
			}, members.Wait)
		default:
			s.live(id, id, r)
		}
	}
}

func (s *soak) live(id, pod string, r *rand.Rand) { s.liveWith(id, pod, r, func() {}, func() {}) }
