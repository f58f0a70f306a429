// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd-mini/mini/integration/bed"
)

const imageName = bed.Image

// spec changes the OCI spec by hand.
func spec(change func(s *specs.Spec)) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *specs.Spec) error {
		change(s)
		return nil
	}
}

// hostNamespace takes a namespace from the container: it has the shim's.
func hostNamespace(kind specs.LinuxNamespaceType) oci.SpecOpts {
	return oci.WithHostNamespace(kind)
}

// namespace makes a namespace of the container a new one, or with a path that
// one.
func namespace(kind specs.LinuxNamespaceType, path string) oci.SpecOpts {
	return oci.WithLinuxNamespace(specs.LinuxNamespace{Type: kind, Path: path})
}

// mount adds a mount.
func mount(fstype, source, destination string, options ...string) oci.SpecOpts {
	return spec(func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Type: fstype, Source: source, Destination: destination, Options: options})
	})
}

// bind adds a bind mount.
func bind(source, destination string, options ...string) oci.SpecOpts {
	return mount("bind", source, destination, append([]string{"bind"}, options...)...)
}

// ctrRun is the beginning of a `ctr run` on the runtime.
func (h *harness) ctrRun() []string {
	args := []string{"run", "--runtime", h.runtime, "--fifo-dir", h.d.Dir + "/fifo"}
	if !h.mini() && !controller("cpu") {
		args = append(args, "--cpu-shares", "0")
	}
	return args
}

// controller says whether the bed's cgroup2 has the controller.
func controller(name string) bool {
	data, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	return err == nil && slices.Contains(strings.Fields(string(data)), name)
}
