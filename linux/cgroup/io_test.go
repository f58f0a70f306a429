// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// disk is the number of a whole disk, for io.max.
func disk(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("/sys/block/[vsx]d*/dev")
	nvme, nerr := filepath.Glob("/sys/block/nvme*/dev")
	if err := errors.Join(err, nerr); err != nil {
		t.Fatal(err)
	}
	if found = append(found, nvme...); len(found) == 0 {
		t.Skip("this machine has no disk")
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func TestThrottlesReachTheKernel(t *testing.T) {
	h := needs(t, "io")
	dev := disk(t)
	major, minor, _ := strings.Cut(dev, ":")
	device := fmt.Sprintf(`{"major":%s,"minor":%s,"rate":`, major, minor)
	g := limited(t, h, testBase(t, h)+"/c", `{"blockIO":{"throttleReadBpsDevice":[`+device+`1048576}],"throttleWriteIOPSDevice":[`+device+`200}]}}`)
	holds(t, g, "throttles", map[string]string{"io.max": dev + " rbps=1048576 wbps=max riops=max wiops=200"})
	if err := g.Update(resources(t, `{"blockIO":{"throttleReadBpsDevice":[`+device+`0}]}}`)); err != nil {
		t.Fatal(err)
	}
	holds(t, g, "a throttle less", map[string]string{"io.max": dev + " rbps=max wbps=max riops=max wiops=200"})

	err := g.Update(resources(t, `{"blockIO":{"throttleReadBpsDevice":[{"major":4000,"minor":1,"rate":1}]}}`))
	if !errors.Is(err, errdefs.ErrInvalidArgument) || !strings.Contains(err.Error(), "blockIO.throttleReadBpsDevice[0]") {
		t.Errorf("a device that is not there: %v", err)
	}
	err = g.Update(resources(t, `{"blockIO":{"weight":500}}`))
	bfq, io := readable(g, "io.bfq.weight"), readable(g, "io.weight")
	switch {
	case err != nil && (bfq || io):
		t.Errorf("blockIO.weight: %v", err)
	case err == nil && bfq:
		holds(t, g, "weight", map[string]string{"io.bfq.weight": "default 500"})
	case err == nil && io:
		holds(t, g, "weight", map[string]string{"io.weight": "default 4950"})
	case err == nil || !errors.Is(err, errdefs.ErrNotImplemented):
		t.Errorf("blockIO.weight where the kernel has none: %v", err)
	}
}

func readable(g *Group, name string) bool {
	_, err := readFile(g.Dir(), name)
	return err == nil
}
