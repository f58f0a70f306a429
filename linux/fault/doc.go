// SPDX-License-Identifier: Apache-2.0

// Package fault names the places where a test may want the shim to be killed.
//
// Without the build tag `faultpoint` a Point is nothing. With it, the file that
// the environment variable MINI_FAULT_DIR names as directory decides: when
// DIR/NAME exists, the goroutine that reaches the point writes DIR/NAME.held
// and waits until DIR/NAME is gone. A test that kills a party meanwhile sees
// the state between two steps.
package fault
