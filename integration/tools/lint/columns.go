// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go/ast"
	"go/token"
	"strings"
	"unicode/utf8"

	"golang.org/x/tools/go/analysis"
)

const (
	maxColumns = 120

	// wideOK before the package clause says that the lines of a file may be
	// longer, as those of a table, and why.
	wideOK = "wide:"
)

var columns = &analysis.Analyzer{
	Name: "columns",
	Doc:  "report lines that are too long; `wide: reason` in a file's head permits them, a raw string may have any",
	Run:  runColumns,
}

func runColumns(pass *analysis.Pass) (any, error) {
	for _, file := range handwritten(pass, wideOK) {
		handle := pass.Fset.File(file.FileStart)
		text, err := pass.ReadFile(handle.Name())
		if err != nil {
			return nil, err
		}
		raw := rawLines(pass.Fset, file)
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			width := utf8.RuneCountInString(strings.TrimRight(line, "\n"))
			if width > maxColumns && !raw[n] {
				pass.Reportf(handle.LineStart(n), "line of %d columns; the limit is %d", width, maxColumns)
			}
		}
	}
	return nil, nil
}

// rawLines are the lines on which there is something of a raw string.
func rawLines(fset *token.FileSet, file *ast.File) map[int]bool {
	lines := map[int]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if ok && lit.Kind == token.STRING && strings.HasPrefix(lit.Value, "`") {
			for line := fset.Position(lit.Pos()).Line; line <= fset.Position(lit.End()).Line; line++ {
				lines[line] = true
			}
		}
		return true
	})
	return lines
}
