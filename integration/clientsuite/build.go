// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd-mini/mini/integration/bed"
)

const (
	containerd = "github.com/containerd/containerd/v2"
	suite      = containerd + "/integration/client"
)

// build makes everything that a run needs into the directory. Go's cache makes
// it quick where nothing has changed.
func build(dir string) error {
	root, err := bed.Root()
	if err != nil {
		return err
	}
	module, err := modfile(root, dir)
	if err != nil {
		return err
	}
	static := []string{"CGO_ENABLED=0"}
	small := []string{"-trimpath", "-ldflags", "-s -w", "-o", dir + "/"}
	tools := filepath.Join(root, "integration/tools")
	for _, step := range []struct {
		dir  string
		env  []string
		args []string
	}{
		{root, static, append([]string{"build", "-tags", "no_grpc"}, append(small, "./cmd/containerd-shim-mini-v2")...)},
		{root, static, append([]string{"build"}, append(small, "./integration/clientsuite")...)},
		{root, static, []string{
			"test", "-c", "-trimpath", "-ldflags", "-s -w", "-o", dir + "/client.test", "-modfile", module, suite,
		}},
		// With every plugin, unlike that of bin/tools: the suite compares the
		// default configuration. runc-fp stands before runc in two tests.
		{root, static, append([]string{"build", "-modfile", module}, append(
			small, containerd+"/cmd/containerd", containerd+"/cmd/containerd-shim-runc-v2",
			containerd+"/integration/failpoint/cmd/runc-fp")...)},
		{tools, []string{"CGO_ENABLED=1"}, append([]string{"build"}, append(runcTags(), append(
			small, "github.com/opencontainers/runc")...)...)},
	} {
		if err := goCommand(step.dir, step.env, step.args); err != nil {
			return err
		}
	}
	return testdata(root, module, dir)
}

// modfile writes a go.mod with which packages of the containerd module can be
// built that mini does not import, and returns its path. The module versions
// are those of our go.mod, to the letter. What our go.sum lacks of checksums
// is in the go.sum that containerd's module has itself, and the checksum of
// that module is in ours: nothing is taken on trust, and no version is written
// down twice.
func modfile(root, dir string) (string, error) {
	source, err := output(root, "list", "-m", "-f", "{{.Dir}}", containerd)
	if err != nil {
		return "", err
	}
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	var sums []string
	for _, name := range []string{root, source} {
		data, err := os.ReadFile(filepath.Join(name, "go.sum"))
		if err != nil {
			return "", err
		}
		sums = append(sums, slices.Collect(strings.Lines(string(data)))...)
	}
	slices.Sort(sums)
	path := filepath.Join(dir, "go.mod")
	if err := os.WriteFile(path, module, 0o644); err != nil {
		return "", err
	}
	return path, os.WriteFile(filepath.Join(dir, "go.sum"), []byte(strings.Join(slices.Compact(sums), "")), 0o644)
}

// testdata copies the files that the suite reads from its package's directory.
func testdata(root, module, dir string) error {
	source, err := output(root, "list", "-modfile", module, "-f", "{{.Dir}}", suite)
	if err != nil {
		return err
	}
	to := filepath.Join(dir, "package")
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.CopyFS(filepath.Join(to, "testdata"), os.DirFS(filepath.Join(source, "testdata")))
}

// runcTags are those of scripts/setup.
func runcTags() []string {
	if exec.Command("pkg-config", "--exists", "libseccomp").Run() == nil {
		return []string{"-tags", "seccomp"}
	}
	return nil
}

func goCommand(dir string, env, args []string) error {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// output is the one line that a go command prints.
func output(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
