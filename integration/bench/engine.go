// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// buildEngine builds the C program.
func buildEngine(root string) error {
	out := filepath.Join(root, "bin/bench/engine")
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	source := filepath.Join(root, "integration/bench/engine/engine.c")
	cmd := exec.Command("gcc", "-O2", "-Wall", "-Werror", "-static", "-o", out, source)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w\n%s", err, text)
	}
	return nil
}

// buildMiniEngine builds the tests of package linux, whose BenchmarkEngine is mini
// without containerd.
func buildMiniEngine(root string) error {
	cmd := exec.Command("go", "test", "-c", "-o", filepath.Join(root, "bin/bench/engine.test"), "./linux")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go test -c: %w\n%s", err, text)
	}
	return nil
}

// engine compares, in turns, mini without containerd with the C program that makes
// the kernel calls of a container and nothing else.
func (b *bench) engine() error {
	rootfs := filepath.Join(b.d.Dir, "engine-rootfs")
	for _, dir := range []string{"bin", "dev", "proc", "run", "sys"} {
		if err := os.MkdirAll(filepath.Join(rootfs, dir), 0o755); err != nil {
			return err
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(rootfs, "bin/true"), data, 0o755); err != nil {
		return err
	}
	figures := map[string][]float64{}
	for range 5 {
		if err := b.engineC(rootfs, figures); err != nil {
			return fmt.Errorf("engine: %w", err)
		}
		if err := b.engineMini(figures); err != nil {
			return fmt.Errorf("engine of mini: %w", err)
		}
	}
	for _, figure := range []string{"create", "run"} {
		c, mini := median(figures["C "+figure]), median(figures["mini "+figure])
		fmt.Printf("  %-6s  mini %.2f (%.2f of C)  C %.2f\n", figure, mini, mini/c, c)
		b.results["engine "+figure] = map[string]float64{"C": c, "mini": mini}
	}
	return nil
}

func (b *bench) engineC(rootfs string, figures map[string][]float64) error {
	engine := filepath.Join(b.root, "bin/bench/engine")
	cmd := exec.Command(engine, rootfs, "/sys/fs/cgroup", strconv.Itoa(b.options.rounds), "/bin/true")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	medians := map[string]float64{}
	if err := json.Unmarshal(out, &medians); err != nil {
		return err
	}
	for figure, ms := range medians {
		figures["C "+figure] = append(figures["C "+figure], ms)
	}
	return nil
}

// engineMini reads a line such as
// `BenchmarkEngine-2  30  4113203 ns/op  2.210 create-ms  3.540 run-ms`.
func (b *bench) engineMini(figures map[string][]float64) error {
	rounds := strconv.Itoa(b.options.rounds)
	cmd := exec.Command(filepath.Join(b.root, "bin/bench/engine.test"),
		"-test.run=^$", "-test.bench=^BenchmarkEngine$", "-test.benchtime="+rounds+"x")
	cmd.Stderr = os.Stderr
	cmd.Dir = filepath.Join(b.root, "linux")
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	for _, figure := range []string{"create", "run"} {
		m := regexp.MustCompile(`([0-9.]+) ` + figure + `-ms`).FindSubmatch(out)
		if m == nil {
			return fmt.Errorf("no %s-ms in %q", figure, out)
		}
		ms, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return err
		}
		figures["mini "+figure] = append(figures["mini "+figure], ms)
	}
	return nil
}
