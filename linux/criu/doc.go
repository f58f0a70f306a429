// SPDX-License-Identifier: Apache-2.0

// Package criu makes requests to CRIU (https://criu.org), the program that writes the
// state of processes to files and makes processes from such files. It knows how to ask;
// its caller knows what to ask for.
//
// # Protocol
//
// `criu swrk 3` reads one request from the SOCK_SEQPACKET socket on its descriptor 3 and
// answers when it is done. In between it sends notifications and waits for an answer to
// each:
//
//	us                     criu
//	  --- DUMP + options ---->
//	  <-- NOTIFY script -----   any number of times
//	  --- NOTIFY ok -------->   or the socket closes: criu undoes what it did
//	  <-- DUMP success ------
//	  (close)
//
// An orphan-pts-master notification carries a descriptor.
//
// The messages are those of criu's rpc.proto. This package writes and reads them field by
// field with protowire (message.go, options.go, response.go). It does not use the
// generated package of CRIU's Go binding (github.com/checkpoint-restore/go-criu). That
// package registers its descriptors at every start of the shim, and containerd starts the
// shim three times for each container, checkpointed or not. Measured (300 interleaved runs
// of `-v`, 2 cores, Linux 6.18): 0.2 to 0.3 ms of 2.1 ms, and 57 KB of binary. The tests
// use the binding: it reads what this package writes, and the other way round.
//
// # Descriptors
//
// criu opens Options.Images and Options.Work through /proc/PID/fd of the socket's peer: it
// gets their numbers in this process. It inherits the files of Options.Inherit at its
// start. All files stay the caller's.
//
// # Oldest version
//
// 3.16 (September 2021). It can restore with another LSM profile than the dump's. Everything
// else is older: external pid namespaces are of 3.15, the freezer of cgroup v2 of 3.14,
// inherited network namespaces of 3.11.
package criu
