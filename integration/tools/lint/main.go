// SPDX-License-Identifier: Apache-2.0

// Lint checks what the project asks of its own code beyond gofumpt, vet and
// staticcheck. It loads the module once and runs every check on it:
//
//	columns    no line is too long
//	cycles     few files of a package refer to each other in a cycle
//	errcheck   no error is dropped in silence
//	errorlint  errors are compared with errors.Is and wrapped with %w
//	exports    an exported name has a user outside its package
//	headers    each file begins with the licence
//	layers     imports go one way; unsafe and go:linkname stay where they belong
//	sizes      files and functions are not too long
//	unparam    no parameter or result is useless
//
// Lint has to run within the module. With -all it also reports what notYet
// excuses; -check names the checks to run.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/polyfloyd/go-errorlint/errorlint"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"
)

// analyzers are the checks that look at one package at a time.
var analyzers = []*analysis.Analyzer{columns, cycles, errorlint.NewAnalyzer(), headers, layers, sizes}

// programChecks are the checks that look at all packages at once.
var programChecks = map[string]func([]*packages.Package) ([]finding, error){
	"errcheck": uncheckedErrors,
	"exports":  unusedExports,
	"unparam":  uselessParameters,
}

// finding is one complaint of a check.
type finding struct {
	position token.Position
	check    string
	message  string
}

func main() {
	all := flag.Bool("all", false, "also report the packages that notYet lists")
	only := flag.String("check", "", "comma-separated checks to run instead of all")
	flag.Parse()
	found, err := run(*only, *all)
	for _, f := range found {
		fmt.Printf("%s: %s (%s)\n", f.position, f.message, f.check)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lint:", err)
	}
	if err != nil || len(found) > 0 {
		os.Exit(1)
	}
}

func run(only string, all bool) ([]finding, error) {
	loaded, err := load()
	if err != nil {
		return nil, err
	}
	wanted := func(check string) bool { return only == "" || slices.Contains(strings.Split(only, ","), check) }
	found, err := analyze(loaded, wanted)
	if err != nil {
		return nil, err
	}
	for name, check := range programChecks {
		if !wanted(name) {
			continue
		}
		more, err := check(loaded)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		found = append(found, more...)
	}
	return tidy(found, all)
}

// load returns the packages of the module, and those packages again with their tests.
func load() ([]*packages.Package, error) {
	loaded, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax, Tests: true}, "./...")
	if err != nil {
		return nil, err
	}
	if packages.PrintErrors(loaded) > 0 {
		return nil, fmt.Errorf("packages do not compile")
	}
	return loaded, nil
}

func analyze(loaded []*packages.Package, wanted func(string) bool) ([]finding, error) {
	run := slices.DeleteFunc(slices.Clone(analyzers), func(a *analysis.Analyzer) bool { return !wanted(a.Name) })
	graph, err := checker.Analyze(run, loaded, nil)
	if err != nil {
		return nil, err
	}
	var found []finding
	for _, action := range graph.Roots {
		if action.Err != nil {
			return nil, fmt.Errorf("%s: %w", action, action.Err)
		}
		for _, d := range action.Diagnostics {
			found = append(found, finding{action.Package.Fset.Position(d.Pos), action.Analyzer.Name, d.Message})
		}
	}
	return found, nil
}

// tidy sorts the findings, makes their paths relative to the module, and drops those
// that come twice and, unless all are wanted, those that notYet excuses.
func tidy(found []finding, all bool) ([]finding, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for i := range found {
		if found[i].position.Filename, err = filepath.Rel(dir, found[i].position.Filename); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(found, func(a, b finding) int {
		return cmp.Or(
			strings.Compare(a.position.Filename, b.position.Filename),
			a.position.Offset-b.position.Offset,
			strings.Compare(a.message, b.message),
		)
	})
	found = slices.Compact(found)
	if all {
		return found, nil
	}
	return slices.DeleteFunc(found, excused), nil
}
