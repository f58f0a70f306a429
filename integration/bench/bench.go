// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-mini/mini/integration/bed"
)

// contestant is a runtime with its options.
type contestant struct {
	name    string
	runtime string
	options any
	noop    bool // it makes no container
}

// contestants are those that the machine has, mini first and runc second.
// CRUN names another crun than Debian's.
func contestants(only string) []contestant {
	all := []contestant{
		{name: "mini", runtime: "io.containerd.mini.v2"},
		{name: "runc", runtime: "io.containerd.runc.v2"},
	}
	crun := os.Getenv("CRUN")
	if crun == "" {
		crun, _ = exec.LookPath("crun") // without it there is one contestant less
	}
	if crun != "" {
		all = append(all, contestant{
			name:    "crun",
			runtime: "io.containerd.runc.v2",
			options: &runcoptions.Options{BinaryName: crun},
		})
	}
	all = append(all, contestant{name: "no-op", runtime: "io.containerd.noop.v2", noop: true})
	if only == "" {
		return all
	}
	names := strings.Split(only, ",")
	return slices.DeleteFunc(all, func(c contestant) bool { return !slices.Contains(names, c.name) })
}

// bench has what the measurements share, and their results.
type bench struct {
	ctx      context.Context
	d        *bed.Daemon
	root     string
	options  options
	runtimes []contestant
	results  map[string]map[string]float64 // figure, contestant: median
	count    int
}

// all takes every figure.
func (b *bench) all() error {
	for _, section := range []struct {
		title   string
		measure func() error
	}{
		{"NewTask to Delete of /bin/true, ociVersion 1.0.2, no resources (ms)", func() error {
			return b.cycles("", plainSpec)
		}},
		{"the same with containerd's default spec: device rules, capabilities (ms)", b.defaultCycles},
		{"the same with containerd's default seccomp profile as well (ms)", b.seccompCycles},
		{"exec of /bin/true in a running container (ms)", func() error { return b.execs("", plainSpec) }},
		{"the same with containerd's default spec and seccomp profile (ms)", func() error {
			return b.ours(func() error { return b.execs("seccomp ", seccompSpec) })
		}},
		{"4 containers at a time (cycles a second)", b.parallel},
		{"the shim binary: -v to its end (ms)", b.startup},
		{fmt.Sprintf("a shim at %d pods", b.options.pods), b.memory},
		{"stdout of a container", b.throughput},
		{"Task.Metrics of a running container (ms; system calls)", func() error { return b.ours(b.stats) }},
		{"the engine alone: what the kernel needs, by a C program (ms)", b.engine},
	} {
		if !strings.Contains(section.title, b.options.section) {
			continue
		}
		fmt.Printf("\n%s\n", section.title)
		if err := section.measure(); err != nil {
			return fmt.Errorf("%s: %w", section.title, err)
		}
	}
	if b.options.json == "" {
		return nil
	}
	data, err := json.MarshalIndent(b.results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(b.options.json, append(data, '\n'), 0o644)
}

// plainSpec is what every runtime can read and do here.
func plainSpec(s *oci.Spec) {
	s.Version = "1.0.2"
	s.Linux.Resources = nil
}

// seccompSpec is containerd's default spec with its default profile: what
// Kubernetes' RuntimeDefault is.
func seccompSpec(s *oci.Spec) { s.Linux.Seccomp = seccomp.DefaultProfile(s) }

// container makes a container of the image.
func (b *bench) container(r contestant, change func(*oci.Spec), args ...string) (client.Container, error) {
	image, err := b.d.Client.GetImage(b.ctx, bed.Image)
	if err != nil {
		return nil, err
	}
	b.count++
	id := fmt.Sprintf("bench-%d", b.count)
	return b.d.Client.NewContainer(b.ctx, id,
		client.WithImage(image), client.WithNewSnapshot(id, image), client.WithRuntime(r.runtime, r.options),
		client.WithNewSpec(oci.WithImageConfig(image), oci.WithProcessArgs(args...),
			func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
				change(s)
				return nil
			}))
}

// running starts a container that lives until stop.
func (b *bench) running(
	r contestant, change func(*oci.Spec), creator cio.Creator, args ...string,
) (task client.Task, stop func() error, err error) {
	c, err := b.container(r, change, args...)
	if err != nil {
		return nil, nil, err
	}
	task, err = c.NewTask(b.ctx, creator)
	if err != nil {
		return nil, nil, err
	}
	if err := task.Start(b.ctx); err != nil {
		return nil, nil, err
	}
	return task, func() error {
		if _, err := task.Delete(b.ctx, client.WithProcessKill); err != nil {
			return err
		}
		return c.Delete(b.ctx, client.WithSnapshotCleanup)
	}, nil
}
