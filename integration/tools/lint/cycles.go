// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// maxCycle is the greatest number of files of one package that may refer to each
// other in a cycle. A reader has to know all of them to understand one.
const maxCycle = 8

var cycles = &analysis.Analyzer{
	Name: "cycles",
	Doc:  "report packages in which too many files refer to each other in a cycle",
	Run:  runCycles,
}

func runCycles(pass *analysis.Pass) (any, error) {
	graph := fileGraph(pass)
	for _, component := range components(graph) {
		if len(component) > maxCycle {
			pass.Reportf(pass.Files[0].Package, "package %s: %d files refer to each other in a cycle; the limit is %d: %s",
				pass.Pkg.Name(), len(component), maxCycle, strings.Join(component, " "))
		}
	}
	return nil, nil
}

// fileGraph maps each file of the package, but for tests, to the files in which
// what it uses is declared.
func fileGraph(pass *analysis.Pass) map[string][]string {
	name := func(pos token.Pos) string { return filepath.Base(pass.Fset.Position(pos).Filename) }
	graph := map[string][]string{}
	for ident, object := range pass.TypesInfo.Uses {
		if object.Pkg() != pass.Pkg || isLocal(object) {
			continue
		}
		from, to := name(ident.Pos()), name(object.Pos())
		if from == to || strings.HasSuffix(from, "_test.go") || strings.HasSuffix(to, "_test.go") {
			continue
		}
		if !slices.Contains(graph[from], to) {
			graph[from] = append(graph[from], to)
		}
	}
	for _, targets := range graph {
		slices.Sort(targets)
	}
	return graph
}

// isLocal reports whether the object is declared within a function.
func isLocal(object types.Object) bool {
	scope := object.Parent()
	return scope != nil && scope != object.Pkg().Scope()
}

// components returns the strongly connected components of the graph (Tarjan).
func components(graph map[string][]string) [][]string {
	s := &search{graph: graph, index: map[string]int{}, low: map[string]int{}, open: map[string]bool{}}
	nodes := make([]string, 0, len(graph))
	for node := range graph {
		nodes = append(nodes, node)
	}
	slices.Sort(nodes)
	for _, node := range nodes {
		if s.index[node] == 0 {
			s.visit(node)
		}
	}
	return s.found
}

// search is the state of one search for components.
type search struct {
	graph      map[string][]string
	index, low map[string]int // from 1 in order of the first visit; the lowest index that a node reaches
	stack      []string
	open       map[string]bool // on the stack
	found      [][]string
}

func (s *search) visit(node string) {
	s.index[node] = len(s.index) + 1
	s.low[node] = s.index[node]
	s.stack = append(s.stack, node)
	s.open[node] = true
	for _, next := range s.graph[node] {
		switch {
		case s.index[next] == 0:
			s.visit(next)
			s.low[node] = min(s.low[node], s.low[next])
		case s.open[next]:
			s.low[node] = min(s.low[node], s.index[next])
		}
	}
	if s.low[node] != s.index[node] {
		return
	}
	at := slices.Index(s.stack, node)
	component := slices.Sorted(slices.Values(s.stack[at:]))
	for _, n := range component {
		s.open[n] = false
	}
	s.stack = s.stack[:at]
	s.found = append(s.found, component)
}
