// SPDX-License-Identifier: Apache-2.0

// Exports reports exported names that nobody outside their package uses: those
// that only tests use belong into tests, the others need no capital letter.
//
// Left out are fields, which encoding/json and composite literals use by reflection
// or by position, and methods whose name some interface has.
package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

const module = "github.com/containerd-mini/mini/"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "exports:", err)
		os.Exit(1)
	}
}

func run(patterns []string) error {
	cfg := &packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes |
			packages.NeedTypesInfo | packages.NeedImports | packages.NeedDeps | packages.NeedForTest,
		Tests: true,
	}
	loaded, err := packages.Load(cfg, patterns...)
	if err != nil {
		return err
	}
	if packages.PrintErrors(loaded) > 0 {
		return fmt.Errorf("packages with errors")
	}
	c := &census{users: map[string]use{}, declared: map[string]declaration{}, dynamic: map[string]bool{}}
	packages.Visit(loaded, nil, c.addInterfaces)
	for _, p := range loaded {
		c.addUses(p)
	}
	return c.report()
}

// use says who uses a name outside its package.
type use struct{ code, tests bool }

type declaration struct {
	position token.Position
	method   bool
}

// census knows which names are declared and who uses them. A name is known by its
// place, which is the same in a package and in that package compiled with its tests.
type census struct {
	declared map[string]declaration
	names    []string // keys of declared, in order
	users    map[string]use
	dynamic  map[string]bool // names of methods of interfaces
}

func (c *census) addInterfaces(p *packages.Package) {
	if p.Types == nil {
		return
	}
	for _, name := range p.Types.Scope().Names() {
		t, ok := p.Types.Scope().Lookup(name).Type().Underlying().(*types.Interface)
		if !ok {
			continue
		}
		for i := range t.NumMethods() {
			c.dynamic[t.Method(i).Name()] = true
		}
	}
}

func (c *census) addUses(p *packages.Package) {
	isTest := func(pos token.Pos) bool { return strings.HasSuffix(p.Fset.Position(pos).Filename, "_test.go") }
	testBed := strings.HasPrefix(p.PkgPath, module+"integration")
	for ident, object := range p.TypesInfo.Defs {
		if object != nil && ident.IsExported() && !isTest(ident.Pos()) && !testBed && p.Name != "main" {
			c.declare(p.Fset, object)
		}
	}
	for ident, object := range p.TypesInfo.Uses {
		if object.Pkg() == nil || !strings.HasPrefix(object.Pkg().Path(), module) {
			continue
		}
		key := p.Fset.Position(object.Pos()).String()
		user := c.users[key]
		switch {
		case isTest(ident.Pos()) || testBed:
			user.tests = true
		case strings.TrimSuffix(p.PkgPath, "_test") != object.Pkg().Path():
			user.code = true
		}
		c.users[key] = user
	}
}

func (c *census) declare(fset *token.FileSet, object types.Object) {
	function, _ := object.(*types.Func)
	method := function != nil && function.Signature().Recv() != nil
	atTop := object.Parent() != nil && object.Parent() == object.Pkg().Scope()
	if !atTop && !method || method && (c.dynamic[object.Name()] || !receiverIsExported(function)) {
		return
	}
	position := fset.Position(object.Pos())
	if _, ok := c.declared[position.String()]; !ok {
		c.declared[position.String()] = declaration{position, method}
		c.names = append(c.names, position.String()+" "+object.Name())
	}
}

func receiverIsExported(f *types.Func) bool {
	t := f.Signature().Recv().Type()
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	named, ok := t.(*types.Named)
	return ok && ast.IsExported(named.Obj().Name())
}

func (c *census) report() error {
	slices.Sort(c.names)
	found := 0
	for _, entry := range c.names {
		place, name, _ := strings.Cut(entry, " ")
		user := c.users[place]
		if user.code {
			continue
		}
		why := "nobody outside its package uses it"
		if user.tests {
			why = "only its package and tests use it"
		}
		position := c.declared[place].position
		if dir, err := os.Getwd(); err == nil {
			position.Filename, _ = filepath.Rel(dir, position.Filename)
		}
		fmt.Printf("%s: %s: %s\n", position, name, why)
		found++
	}
	if found > 0 {
		return fmt.Errorf("%d exported names without a user", found)
	}
	return nil
}
