// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"encoding/binary"
	"strconv"
	"time"
)

// version is the version of the task service that we serve if the answer can say so: the numbers
// are containerd.task.v2 and containerd.task.v3.
const version = 3

// Answer is what `start` prints for the shim that listens at address, a URL of
// ASCII letters (unix:///run/...). maxVersion is MAX_SHIM_VERSION as it was in
// the environment; it says something only to an older containerd, for the later
// ones set it to 2 and accept 3.
func (p *Params) Answer(address, maxVersion string) []byte {
	if !p.Legacy {
		b := appendVarint(nil, 1, version)
		b = appendString(b, 2, address)
		return appendString(b, 3, "ttrpc")
	}
	highest, err := strconv.Atoi(maxVersion)
	if err != nil || highest < 2 {
		return []byte(address)
	}
	b := []byte(`{"version":`)
	b = strconv.AppendInt(b, int64(min(highest, version)), 10)
	b = append(b, `,"address":`...)
	b = strconv.AppendQuoteToASCII(b, address)
	return append(b, `,"protocol":"ttrpc"}`...)
}

// Exit is how a container's first process ended, as `delete` tells it.
type Exit struct {
	Pid    uint32
	Status uint32
	At     time.Time
}

// Encode returns the containerd.task.v2.DeleteResponse (and v3, the same on the
// wire) that `delete` prints.
func (e Exit) Encode() []byte {
	var b []byte
	if e.Pid != 0 {
		b = appendVarint(b, 1, uint64(e.Pid))
	}
	if e.Status != 0 {
		b = appendVarint(b, 2, uint64(e.Status))
	}
	var at []byte
	if s := e.At.Unix(); s != 0 {
		at = appendVarint(at, 1, uint64(s))
	}
	if ns := e.At.Nanosecond(); ns != 0 {
		at = appendVarint(at, 2, uint64(ns))
	}
	b = binary.AppendUvarint(b, 3<<3+wireBytes)
	b = binary.AppendUvarint(b, uint64(len(at)))
	return append(b, at...)
}
