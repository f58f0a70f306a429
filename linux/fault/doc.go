// SPDX-License-Identifier: Apache-2.0

// Package fault names the places where a test may want the shim to be killed.
//
// Without the build tag `faultpoint` a Point is nothing. With it, the file that
// the environment variable MINI_FAULT_DIR names as directory decides: when
// DIR/NAME exists, the first goroutine that reaches the point, in any process, writes DIR/NAME.held
// and waits until DIR/NAME is gone. A test that kills a party meanwhile sees
// the state between two steps.
//
// A child that was cloned runs nothing but system calls that were laid out
// before (package fork). Where Program.Hold stands and DIR/NAME exists it sleeps
// for a few seconds: a test finds it by the system call that it is in.
package fault
