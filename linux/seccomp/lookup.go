// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"slices"
	"sort"
	"strings"
)

//go:generate go run table_gen.go -o table.go

// call is a system call's place in the tables.
type call int

// absent stands for a call that an architecture does not have. Numbers from private on
// stand for those above 0xf0000.
const (
	absent  = 0xffff
	private = 0xf000
)

// findCall finds a call by its name.
func findCall(name string) (call, bool) {
	i := sort.Search(len(nameEnds), func(i int) bool { return call(i).name() >= name })
	return call(i), i < len(nameEnds) && call(i).name() == name
}

func (c call) name() string {
	start := uint16(0)
	if c > 0 {
		start = nameEnds[c-1]
	}
	return names[start:nameEnds[c]]
}

// number returns the number of the call on a, with a's bit. It reports whether a has it.
func (c call) number(a arch) (uint32, bool) {
	n := uint32(numbers[a][c])
	switch {
	case n == absent:
		return 0, false
	case n >= private:
		n += 0xf0000 - private
	}
	return n | architectures[a].bit, true
}

// sub returns the number of the call among the sub-calls of socketcall(2) or ipc(2)
// (linux/net.h, linux/ipc.h). through is "socketcall", "ipc", or "" if neither has it.
func (c call) sub() (through string, nr uint64) {
	name := c.name()
	byName := func(s subCall, name string) int { return strings.Compare(s.name, name) }
	i, ok := slices.BinarySearchFunc(subCalls[:], name, byName)
	switch {
	case !ok:
		return "", 0
	case subCalls[i].ipc:
		return "ipc", uint64(subCalls[i].nr)
	}
	return "socketcall", uint64(subCalls[i].nr)
}

// muxed reports whether socketcall(2) or ipc(2) has the call.
func (c call) muxed() bool {
	by, _ := c.sub()
	return by != ""
}

type subCall struct {
	name string
	nr   uint8
	ipc  bool
}

// subCalls is sorted by name.
var subCalls = [...]subCall{
	{"accept", 5, false},
	{"accept4", 18, false},
	{"bind", 2, false},
	{"connect", 3, false},
	{"getpeername", 7, false},
	{"getsockname", 6, false},
	{"getsockopt", 15, false},
	{"listen", 4, false},
	{"msgctl", 14, true},
	{"msgget", 13, true},
	{"msgrcv", 12, true},
	{"msgsnd", 11, true},
	{"recv", 10, false},
	{"recvfrom", 12, false},
	{"recvmmsg", 19, false},
	{"recvmsg", 17, false},
	{"semctl", 3, true},
	{"semget", 2, true},
	{"semop", 1, true},
	{"semtimedop", 4, true},
	{"send", 9, false},
	{"sendmmsg", 20, false},
	{"sendmsg", 16, false},
	{"sendto", 11, false},
	{"setsockopt", 14, false},
	{"shmat", 21, true},
	{"shmctl", 24, true},
	{"shmdt", 22, true},
	{"shmget", 23, true},
	{"shutdown", 13, false},
	{"socket", 1, false},
	{"socketpair", 8, false},
}
