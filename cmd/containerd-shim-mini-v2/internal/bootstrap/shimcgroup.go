// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"fmt"

	"github.com/containerd-mini/mini/task/toml"
)

// ShimCgroup returns the cgroup the shim is to run in, which is the only
// runtime option of interest before a container is created; "" for none. It is
// shim_cgroup of containerd.runc.v1.Options, or ShimCgroup in the TOML that
// runtimeoptions.v1.Options carry or name.
func (p *Params) ShimCgroup() (string, error) {
	for i := range p.Extensions {
		a := &p.Extensions[i]
		var path string
		var err error
		switch a.Name() {
		case "containerd.runc.v1.Options":
			path, err = stringField(a.Value, 3)
		case "runtimeoptions.v1.Options", "cri.runtimeoptions.v1.Options":
			path, err = tomlShimCgroup(a.Value)
		}
		if err != nil {
			return "", fmt.Errorf("read options %s: %w", a.TypeURL, err)
		}
		if path != "" {
			return path, nil
		}
	}
	return "", nil
}

// stringField returns the string or bytes field num of a message, "" without
// one.
func stringField(b []byte, num uint64) (string, error) {
	value := ""
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return "", err
		}
		b = rest
		if f.num == num && f.typ == wireBytes {
			value = string(f.bytes)
		}
	}
	return value, nil
}

// tomlShimCgroup reads the option from generic options.
func tomlShimCgroup(options []byte) (cgroup string, err error) {
	path, err := stringField(options, 2)
	if err != nil {
		return "", err
	}
	body, err := stringField(options, 3)
	if err != nil {
		return "", err
	}
	values, err := toml.Load(body, path)
	if err != nil {
		return "", err
	}
	for _, v := range values {
		if v.Name() == "shimcgroup" {
			if err := v.String(&cgroup); err != nil {
				return "", fmt.Errorf("line %d: %s: %w", v.Line, v.Key, err)
			}
		}
	}
	return cgroup, nil
}
