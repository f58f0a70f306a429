// SPDX-License-Identifier: Apache-2.0

//go:build !pprof

package daemon

import "github.com/containerd/log"

// serveProfiles has nothing to serve: net/http weighs more than the rest of the
// shim. As containerd-shim-runc-v2, it is built in with a tag.
func serveProfiles(c *Config) error {
	if c.DebugSocket != "" {
		log.L.Warnf("nothing is served on %s: built without the tag pprof", c.DebugSocket)
	}
	return nil
}
