// SPDX-License-Identifier: Apache-2.0

// Package bootstrap is what containerd and a shim that is being started say to
// each other over standard input and output.
//
//	containerd      standard input of `start`            our standard output
//	2.3 and later   BootstrapParams                      BootstrapResult, version 3
//	1.7 to 2.2      Any of the runtime options, or none  {"version":2,"address":...,"protocol":"ttrpc"}
//	before 1.7      the same                             the address alone
//
// Both inputs are protobuf and neither says which it is; BootstrapParams repeat
// the id and the namespace of the command line, and runtime options cannot. The
// older two are told apart by MAX_SHIM_VERSION, which 1.7 introduced; 1.7 to
// 2.2 all set it to 2, and 1.7 refuses a higher version in the answer.
//
// The messages are read and written by hand. The generated types cost
// a millisecond of package initialisation in a process that lives for two. The
// tests compare the two, fuzzed.
package bootstrap
