// SPDX-License-Identifier: Apache-2.0

package process

import (
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/containerd-mini/mini/linux"
)

// Features is what of the OCI runtime spec is supported.
func Features() *features.Features { return linux.Features() }
