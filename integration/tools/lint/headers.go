// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go/ast"

	"golang.org/x/tools/go/analysis"
)

const licence = "// SPDX-License-Identifier: Apache-2.0"

var headers = &analysis.Analyzer{
	Name: "headers",
	Doc:  "report files that do not begin with the licence line",
	Run: func(pass *analysis.Pass) (any, error) {
		for _, file := range pass.Files {
			if ast.IsGenerated(file) {
				continue
			}
			if len(file.Comments) == 0 || file.Comments[0].List[0].Text != licence {
				pass.Reportf(file.Package, "the file does not begin with %q", licence)
			}
		}
		return nil, nil
	},
}
