// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"

	"github.com/containerd-mini/mini/linux/oci"
)

// groupLabels are the annotations that put containers under one shim, the
// first that is there deciding. They are containerd-shim-runc-v2's, so that
// CRI's pods are grouped.
var groupLabels = [...]string{"io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"}

// group names the group of the container whose specification is in file; id if
// it is in none.
func group(file, id string) (string, error) {
	data, err := oci.Read(file)
	if err != nil {
		return "", err
	}
	found, err := findAnnotations(data, groupLabels[:])
	if err != nil {
		return "", fmt.Errorf("read %s: %w", file, err)
	}
	for _, label := range groupLabels {
		if g, ok := found[label]; ok {
			return g, nil
		}
	}
	return id, nil
}

// findAnnotations returns the strings that an OCI runtime specification has
// under "annotations" for the given names. It walks over the rest, 10 to 30 KB
// that the daemon will parse anyway, without looking into it: malformed JSON is
// an error only where it cannot be walked over.
func findAnnotations(spec []byte, names []string) (map[string]string, error) {
	s := scanner{spec}
	found := map[string]string{}
	err := s.object(func(key string) error {
		if key != "annotations" || s.peek() != '{' {
			return s.skip()
		}
		clear(found) // the last of two wins, as in encoding/json; so does what it lacks
		return s.object(func(name string) error {
			for _, n := range names {
				if n == name && s.peek() == '"' {
					v, err := s.text()
					found[name] = v
					return err
				}
			}
			return s.skip()
		})
	})
	return found, err
}
