// SPDX-License-Identifier: Apache-2.0

// Package warm does ahead, beside the start of the daemon, what the first
// container would wait for: encoding/json looks at each type of the OCI
// specification the first time it meets one, which takes 0.7 ms, and protobuf
// at each message and the file that declares it.
//
// containerd asks for a container a millisecond or two after `start` made the
// daemon, about when this is ready, and a daemon mostly makes one container: its
// first is the one that counts.
package warm

import (
	"github.com/containerd-mini/mini/linux/oci"
)

// Spec has encoding/json learn the types of config.json in a goroutine of its
// own, which closes done when it ends.
func Spec() (done <-chan struct{}) {
	c := make(chan struct{})
	go func() {
		defer close(c)
		// The types are learned whatever the document says.
		_, _ = oci.Decode([]byte("{}"))
	}()
	return c
}
