// SPDX-License-Identifier: Apache-2.0

package process

import (
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/containerd-mini/mini/linux"
)

// Features returns the features of the OCI runtime spec that are supported.
func Features() *features.Features { return linux.Features() }
