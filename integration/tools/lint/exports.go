// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/packages"
)

// unusedExports reports exported names that nobody uses outside their package: what
// only tests use belongs into tests, the rest needs no capital letter.
//
// Left out are fields, which reflection reads; methods whose name an interface has;
// types that a user meets without naming them, in the signature of a function or the
// field of a struct that is used; and names that tests of other packages need, whose
// comment says `Exported for tests: reason`.
func unusedExports(loaded []*packages.Package) ([]finding, error) {
	c := &census{
		fset:     loaded[0].Fset,
		declared: map[string]declaration{},
		users:    map[string]use{},
		dynamic:  wellKnownMethods(),
	}
	for _, p := range loaded {
		c.addInterfaces(p)
	}
	for _, p := range loaded {
		c.addUses(p)
	}
	c.keepTypes()
	return c.unused(), nil
}

// forTests in the comment of a name permits that only tests use it.
const forTests = "Exported for tests:"

// use says who uses a name outside its package.
type use struct{ code, tests bool }

type declaration struct {
	finding
	object types.Object
}

// census holds which names are declared and who uses them. The key of a name is its
// position, which is the same in a package and in that package compiled for its tests.
type census struct {
	fset     *token.FileSet
	declared map[string]declaration
	users    map[string]use
	dynamic  map[string]bool // names of interfaces' methods
}

func (c *census) key(object types.Object) string { return c.fset.Position(object.Pos()).String() }

// wellKnownMethods are called through interfaces that have no name.
func wellKnownMethods() map[string]bool {
	return map[string]bool{"As": true, "Error": true, "Is": true, "Unwrap": true}
}

// addInterfaces notes the methods of the interfaces of a package and its imports.
func (c *census) addInterfaces(p *packages.Package) {
	for _, pkg := range append(p.Types.Imports(), p.Types) {
		for _, name := range pkg.Scope().Names() {
			t, ok := pkg.Scope().Lookup(name).Type().Underlying().(*types.Interface)
			if !ok {
				continue
			}
			for i := range t.NumMethods() {
				c.dynamic[t.Method(i).Name()] = true
			}
		}
	}
}

func (c *census) addUses(p *packages.Package) {
	inTest := func(ident *ast.Ident) bool {
		return strings.HasSuffix(p.Fset.Position(ident.Pos()).Filename, "_test.go")
	}
	testBed := strings.HasPrefix(p.PkgPath, module+"/integration")
	permitted := namesForTests(p)
	for ident, object := range p.TypesInfo.Defs {
		if object != nil && ident.IsExported() && !inTest(ident) && !testBed && p.Name != "main" &&
			c.counts(object) && !permitted[ident] {
			position := c.fset.Position(object.Pos())
			c.declared[c.key(object)] = declaration{finding{position, "exports", object.Name()}, object}
		}
	}
	for ident, object := range p.TypesInfo.Uses {
		if object.Pkg() == nil || !strings.HasPrefix(object.Pkg().Path(), module) {
			continue
		}
		key := c.key(object)
		user := c.users[key]
		switch {
		case inTest(ident) || testBed:
			user.tests = true
		case p.PkgPath != object.Pkg().Path():
			user.code = true
		}
		c.users[key] = user
	}
}

// namesForTests returns the names whose comment has forTests.
func namesForTests(p *packages.Package) map[*ast.Ident]bool {
	names := map[*ast.Ident]bool{}
	for _, file := range p.Syntax {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				names[n.Name] = strings.Contains(n.Doc.Text(), forTests)
				return false
			case *ast.GenDecl:
				for _, spec := range n.Specs {
					if t, ok := spec.(*ast.TypeSpec); ok {
						names[t.Name] = strings.Contains(n.Doc.Text(), forTests)
					}
				}
			}
			return true
		})
	}
	return names
}

// counts reports whether an object is declared at the top of its package or is a
// method of an exported type that no interface asks for.
func (c *census) counts(object types.Object) bool {
	f, ok := object.(*types.Func)
	if !ok || f.Signature().Recv() == nil {
		return object.Parent() != nil && object.Parent() == object.Pkg().Scope()
	}
	t := f.Signature().Recv().Type()
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	named, ok := t.(*types.Named)
	return ok && named.Obj().Exported() && !c.dynamic[f.Name()]
}

// unused returns the names without a user.
func (c *census) unused() []finding {
	var found []finding
	for key, d := range c.declared {
		if c.users[key].code {
			continue
		}
		f := d.finding
		f.message += ": nobody outside its package uses it"
		if c.users[key].tests {
			f.message = d.message + ": only its package and tests use it"
		}
		found = append(found, f)
	}
	return found
}
