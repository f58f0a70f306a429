// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go/ast"
	"strings"

	"golang.org/x/tools/go/analysis"
)

const (
	maxFile     = 250
	maxFunction = 50

	// longOK in the comment of a function, or before the package clause for
	// the whole file, says that it may be longer, and why.
	longOK = "long:"
)

var sizes = &analysis.Analyzer{
	Name: "sizes",
	Doc:  "report files and functions that are too long; tests may be longer; `long: reason` in the comment permits it",
	Run:  runSizes,
}

func runSizes(pass *analysis.Pass) (any, error) {
	for _, file := range handwritten(pass, longOK) {
		if strings.HasSuffix(pass.Fset.Position(file.FileStart).Filename, "_test.go") {
			continue
		}
		if lines := pass.Fset.Position(file.FileEnd).Line; lines > maxFile {
			pass.Reportf(file.Package, "file of %d lines; %d are enough for one noun", lines, maxFile)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || strings.Contains(f.Doc.Text(), longOK) {
				continue
			}
			lines := pass.Fset.Position(f.End()).Line - pass.Fset.Position(f.Pos()).Line + 1
			if lines > maxFunction {
				pass.Reportf(f.Pos(), "function of %d lines; the limit is %d", lines, maxFunction)
			}
		}
	}
	return nil, nil
}

// handwritten returns the files that no program has written and that have no permit, which
// is a word in the file's head.
func handwritten(pass *analysis.Pass, permit string) (files []*ast.File) {
	for _, file := range pass.Files {
		if !ast.IsGenerated(file) && !permits(file, permit) {
			files = append(files, file)
		}
	}
	return files
}

// permits reports whether a comment in the file's head has the word.
func permits(file *ast.File, word string) bool {
	for _, group := range file.Comments {
		if group.Pos() < file.Package && strings.Contains(group.Text(), word) {
			return true
		}
	}
	return false
}
