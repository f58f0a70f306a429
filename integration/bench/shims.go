// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"

	"github.com/containerd-mini/mini/integration/bed"
)

// startup takes the time of a shim binary that only tells its version. The
// binary is started three times in a container's life.
func (b *bench) startup() error {
	samples := newSamples()
	for round := range warmup + b.options.rounds {
		for _, r := range b.runtimes {
			if r.options != nil {
				continue // the same binary again
			}
			// io.containerd.NAME.v2 is containerd-shim-NAME-v2.
			parts := strings.Split(r.runtime, ".")
			name := fmt.Sprintf("containerd-shim-%s-%s", parts[2], parts[3])
			path := ""
			for _, dir := range []string{"bin/bench", "bin", "bin/tools"} {
				if p := filepath.Join(b.root, dir, name); path == "" {
					if _, err := os.Stat(p); err == nil {
						path = p
					}
				}
			}
			begin := time.Now()
			if err := exec.Command(path, "-v").Run(); err != nil {
				return fmt.Errorf("%s -v: %w", path, err)
			}
			if round >= warmup {
				samples.add("start-up", r.name, milliseconds(time.Since(begin)))
			}
		}
	}
	b.report(samples, "start-up")
	return nil
}

// memory starts pods, one container each, and reads what their shims hold.
func (b *bench) memory() error {
	samples := newSamples()
	for _, r := range b.runtimes {
		if r.noop {
			continue
		}
		var tasks []client.Task
		var stops []func() error
		for range b.options.pods {
			task, stop, err := b.running(r, plainSpec, cio.NullIO, "sleep", "1000000")
			if err != nil {
				return err
			}
			tasks, stops = append(tasks, task), append(stops, stop)
		}
		time.Sleep(2 * time.Second) // the garbage of their start is collected, or not
		for _, task := range tasks {
			shim, err := parent(int(task.Pid()))
			if err != nil {
				return err
			}
			if err := addMemory(samples, r.name, shim); err != nil {
				return err
			}
		}
		for _, stop := range stops {
			if err := stop(); err != nil {
				return err
			}
		}
	}
	b.report(samples, "RSS MB", "PSS MB", "anonymous MB", "threads")
	return nil
}

// addMemory adds the figures of one process.
func addMemory(s samples, name string, pid int) error {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return err
	}
	defer f.Close()
	figures := map[string]string{"Rss": "RSS MB", "Pss": "PSS MB", "Anonymous": "anonymous MB"}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, rest, _ := strings.Cut(lines.Text(), ":")
		figure, ok := figures[key]
		if !ok {
			continue
		}
		kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
		if err != nil {
			return err
		}
		s.add(figure, name, kilobytes/1024)
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	s.add("threads", name, float64(len(threads)))
	return lines.Err()
}

// parent is the parent of a process.
func parent(pid int) (int, error) {
	all, err := bed.Processes()
	if err != nil {
		return 0, err
	}
	for _, p := range all {
		if p.Pid == pid {
			return p.Parent, nil
		}
	}
	return 0, fmt.Errorf("no process %d", pid)
}
