// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/kisielk/errcheck/errcheck"
	"golang.org/x/tools/go/packages"
)

// closing ends the names of functions whose error need not be looked at: most of what
// is closed was only read or waited on. What was written and must last is closed with
// its error in hand, which no tool can tell apart.
const closing = ".Close"

// printing lists more of them: what is printed for a reader has nobody else to tell.
var printing = []string{"fmt.Fprint", "fmt.Fprintf", "fmt.Fprintln"}

func uncheckedErrors(loaded []*packages.Package) ([]finding, error) {
	check := &errcheck.Checker{Exclusions: errcheck.Exclusions{
		Symbols:          append(printing, errcheck.DefaultExcludedSymbols...),
		GeneratedFiles:   true,
		BlankAssignments: true,
		TypeAssertions:   true,
	}}
	var found []finding
	for _, p := range loaded {
		for _, e := range check.CheckPackage(p).UncheckedErrors {
			if !strings.HasSuffix(e.FuncName, closing) && !strings.HasSuffix(e.SelectorName, closing) {
				message := fmt.Sprintf("an error is dropped; use it or say _ =: %s", strings.TrimSpace(e.Line))
				found = append(found, finding{e.Pos, "errcheck", message})
			}
		}
	}
	return found, nil
}
