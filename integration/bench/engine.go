// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// buildEngine builds the C program.
func buildEngine(root string) error {
	out := filepath.Join(root, "bin/bench/engine")
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	cmd := exec.Command("gcc", "-O2", "-Wall", "-Werror", "-static", "-o", out, filepath.Join(root, "integration/bench/engine/engine.c"))
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w\n%s", err, text)
	}
	return nil
}

// engine runs the C program that makes the kernel calls of a container and
// nothing else. BenchmarkEngine of package linux is to be compared with it.
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
	cmd := exec.Command(filepath.Join(b.root, "bin/bench/engine"), rootfs, "/sys/fs/cgroup", strconv.Itoa(5*b.options.rounds), "/bin/true")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	medians := map[string]float64{}
	if err := json.Unmarshal(out, &medians); err != nil {
		return err
	}
	for _, figure := range []string{"create", "run"} {
		fmt.Printf("  %s  %.2f\n", figure, medians[figure])
		b.results["engine "+figure] = map[string]float64{"C": medians[figure]}
	}
	return nil
}
