// SPDX-License-Identifier: Apache-2.0

package main

import (
	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/ssa/ssautil"
	"mvdan.cc/unparam/check"
)

func uselessParameters(loaded []*packages.Package) ([]finding, error) {
	program, _ := ssautil.Packages(loaded, 0)
	program.Build()
	unparam := &check.Checker{}
	unparam.Packages(loaded)
	unparam.ProgramSSA(program)
	issues, err := unparam.Check()
	if err != nil {
		return nil, err
	}
	var found []finding
	for _, issue := range issues {
		found = append(found, finding{program.Fset.Position(issue.Pos()), "unparam", issue.Message()})
	}
	return found, nil
}
