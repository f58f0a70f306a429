// SPDX-License-Identifier: Apache-2.0

// Command calls makes system calls by their numbers and prints each one's errno,
// for tests of seccomp: calls NUMBER[,ARGUMENT]... ...
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	for _, text := range os.Args[1:] {
		var n [7]uintptr
		for i, field := range strings.SplitN(text, ",", len(n)) {
			v, err := strconv.ParseUint(field, 0, 64)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(2)
			}
			n[i] = uintptr(v)
		}
		_, _, errno := syscall.Syscall6(n[0], n[1], n[2], n[3], n[4], n[5], n[6])
		fmt.Println(int(errno))
	}
}
