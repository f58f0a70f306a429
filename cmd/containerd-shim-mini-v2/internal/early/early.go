// SPDX-License-Identifier: Apache-2.0

// Package early runs the short verbs, `start` and mostly `delete`, while the
// program's packages are still being initialised, and ends the process.
//
// Both live for a millisecond or two, and initialising ttrpc, protobuf and the
// API's generated types takes the better part of one more, of which they need
// nothing. Go initialises packages in the order of their import paths, except
// that a package comes after those it imports (Go specification, "Program
// initialization"; cmd/link since 1.21). This one imports, by way of package
// launch, light packages of the standard library and golang.org/x/sys/unix, and
// all that is heavy has a path that sorts after github.com/containerd-mini or
// imports one that does. A test keeps watch over the order.
//
// It is the one place of the project where initialisation does something.
package early

import (
	"os"

	"github.com/containerd-mini/mini/cmd/containerd-shim-mini-v2/internal/launch"
	"github.com/containerd-mini/mini/cmd/containerd-shim-mini-v2/internal/warm"
)

var _ = run()

// run reports whether this process is the daemon, if it returns.
func run() bool {
	if code, ok := launch.Short(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); ok {
		os.Exit(code)
	}
	daemon := launch.IsDaemon(os.Args[1:])
	if daemon {
		_ = warm.Spec()
	}
	return daemon
}
