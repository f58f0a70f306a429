// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/analysis"
)

const module = "github.com/containerd-mini/mini"

// mayImport says which packages of the module a package may import; with
// /... at its end, also those below. The path of a package is taken up to the
// longest key that begins it.
//
//	cmd -> task -> process -> linux -> linux/* -> linux/sys
var mayImport = map[string][]string{
	"cmd":           {"cmd/...", "task", "task/toml", "process", "linux/host", "linux/oci", "linux/fault"},
	"task":          {"process", "task/toml"},
	"task/toml":     {},
	"process":       {"linux", "linux/relay", "linux/oci", "linux/fault"},
	"linux":         {"linux/cgroup", "linux/mount", "linux/fork", "linux/criu", "linux/netdev", "linux/resctrl", "linux/seccomp", "linux/systemd", "linux/sys/...", "linux/fault"},
	"linux/cgroup":  {"linux/sys/...", "linux/fault"},
	"linux/mount":   {"linux/sys/...", "linux/fault"},
	"linux/fork":    {"linux/sys/...", "linux/fault"},
	"linux/netdev":  {"linux/sys/..."},
	"linux/resctrl": {"linux/sys/..."},
	"linux/relay":   {"linux/sys/..."},
	"linux/criu":    {"linux/sys/..."},
	"linux/host":    {"linux/sys/...", "linux/fault"},
	"linux/oci":     {},
	"linux/seccomp": {},
	"linux/sys":     {"linux/sys/..."},
	"linux/systemd": {},
	"linux/fault":   {},
	"integration":   {"integration/bed", "integration/testenv", "integration/clientsuite/registry"},
}

// restricted says where alone something that is not ours may be imported.
var restricted = map[string][]string{
	"golang.org/x/sys/unix": {"linux", "integration/testenv", "integration/cmd/streams"},
	"unsafe":                {"linux/sys", "linux/fork", "integration/testenv/bpfprog"},
	"github.com/containerd/errdefs/pkg/errgrpc": {"task", "cmd", "integration"},
}

var layers = &analysis.Analyzer{
	Name: "layers",
	Doc:  "report imports against the direction of the layers, and unsafe or go:linkname outside linux/sys and linux/fork",
	Run:  runLayers,
}

func runLayers(pass *analysis.Pass) (any, error) {
	pkg := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(pass.Pkg.Path(), module), "/"), "_test")
	if strings.HasSuffix(pkg, ".test") {
		return nil, nil // the main package that go test makes
	}
	for _, file := range pass.Files {
		test := strings.HasSuffix(pass.Fset.Position(file.Package).Filename, "_test.go")
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return nil, err
			}
			if where, ok := restricted[imported]; ok && !under(pkg, where) && !test {
				pass.Reportf(spec.Pos(), "%s may be imported below %s only", imported, strings.Join(where, ", "))
			}
			own, ok := strings.CutPrefix(imported, module+"/")
			if !ok || test && (under(own, []string{"integration/testenv"}) || own == pkg) {
				continue
			}
			if layer := layerOf(pkg); layer != "" && !allowed(own, mayImport[layer]) {
				pass.Reportf(spec.Pos(), "%s may not import %s; it may import %v", pkg, own, mayImport[layer])
			}
		}
		checkLinknames(pass, pkg, file)
	}
	return nil, nil
}

// checkLinknames reports go:linkname where unsafe may not be.
func checkLinknames(pass *analysis.Pass, pkg string, file *ast.File) {
	for _, group := range file.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, "//go:linkname ") && !under(pkg, restricted["unsafe"]) {
				pass.Reportf(c.Pos(), "go:linkname may be below %s only", strings.Join(restricted["unsafe"], ", "))
			}
		}
	}
}

// allowed says whether the list has the package.
func allowed(pkg string, list []string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		dir, below := strings.CutSuffix(entry, "/...")
		return pkg == dir || below && strings.HasPrefix(pkg, dir+"/")
	})
}

// layerOf is the key of mayImport for a package.
func layerOf(pkg string) string {
	for ; pkg != "." && pkg != "/"; pkg = path.Dir(pkg) {
		if _, ok := mayImport[pkg]; ok {
			return pkg
		}
	}
	return ""
}

// under says whether the package is one of the directories or below one.
func under(pkg string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return pkg == d || strings.HasPrefix(pkg, d+"/") })
}
