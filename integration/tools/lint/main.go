// SPDX-License-Identifier: Apache-2.0

// Lint checks what the project asks of its own code, beside gofumpt, vet and
// staticcheck: how errors are compared and wrapped, which package may import
// which, where unsafe and go:linkname may be, how long files and functions
// may be, and the licence line.
package main

import (
	"github.com/polyfloyd/go-errorlint/errorlint"
	"golang.org/x/tools/go/analysis/multichecker"
)

func main() {
	multichecker.Main(errorlint.NewAnalyzer(), layers, sizes, headers, cycles, columns)
}
