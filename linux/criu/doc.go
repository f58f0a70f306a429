// SPDX-License-Identifier: Apache-2.0

// Package criu asks CRIU (https://criu.org), the program that writes the state
// of processes to files and makes processes of such files again. It knows how to
// ask; what to ask for is its caller's.
//
// # Protocol
//
// `criu swrk 3` reads one request from the SOCK_SEQPACKET socket on its
// descriptor 3 and answers when it is done. In between it sends notifications,
// each of which it waits for an answer to:
//
//	us                     criu
//	  --- DUMP + options ---->
//	  <-- NOTIFY script -----   as often as there is something to tell
//	  --- NOTIFY ok -------->   or the socket closes: criu takes back what it did
//	  <-- DUMP success ------
//	  (close)
//
// An orphan-pts-master notification carries a descriptor.
//
// The messages are criu's rpc.proto. They are written and read here field by field
// with protowire (message.go, options.go, response.go), not with the generated
// package of CRIU's Go binding (github.com/checkpoint-restore/go-criu): that
// registers its descriptors at every start of the shim, which containerd starts three
// times for each container whether or not it is ever checkpointed. Measured
// (300 interleaved runs of `-v`, 2 cores, Linux 6.18): 0.2 to 0.3 ms of 2.1, and
// 57 KB of binary. The binding is used by the tests: what is written here is read
// with it, and the other way round.
//
// # Descriptors
//
// Options.Images and Options.Work are named to criu by their numbers in this
// process, which it opens through /proc/PID/fd of the socket's peer. The files of
// Options.Inherit and Options.JoinNS are handed over at its start. All stay the
// caller's.
//
// # Oldest version
//
// 3.16 (September 2021): it restores with another LSM profile than the dump's, and all
// else that is asked for here came before (external pid namespaces 3.15, the version
// 2 freezer 3.14, inherited network namespaces 3.11).
package criu
