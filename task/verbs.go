// SPDX-License-Identifier: Apache-2.0

package task

import (
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/containerd-mini/mini/process"
)

// Features returns the features of the OCI runtime spec that are supported.
func Features() *features.Features { return process.Features() }

// Cleanup removes what is left of a container whose shim is gone and returns how
// it ended; see process.Cleanup. The Exit is also valid with an error.
func Cleanup(bundle, id string) (process.Exit, error) { return process.Cleanup(bundle, id) }
