// SPDX-License-Identifier: Apache-2.0

package bed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Root is the root of the repository, found upwards from the working
// directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "integration/bed")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("not in the repository: %s", dir)
}

// Build builds a package of this module as the shim is released, static and
// stripped, with more build tags, into a file below the repository's root.
func Build(root, pkg, out string, tags ...string) error {
	args := []string{"build", "-trimpath", "-ldflags", "-s -w", "-tags", "no_grpc"}
	for _, t := range tags {
		args[len(args)-1] += "," + t
	}
	return goBuild(root, "CGO_ENABLED=0", append(args, "-o", out, pkg))
}

// BuildRace builds a package of this module with the race detector.
func BuildRace(root, pkg, out string) error {
	return goBuild(root, "CGO_ENABLED=1", []string{"build", "-race", "-tags", "no_grpc", "-o", out, pkg})
}

func goBuild(root, env string, args []string) error {
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), env)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %v: %w\n%s", args, err, out)
	}
	return nil
}
