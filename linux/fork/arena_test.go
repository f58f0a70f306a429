// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// A shim that gets no memory refuses what it was asked for, and lives on.
func TestNoMemory(t *testing.T) {
	for name, prepare := range map[string]func() (build func(p *Program)){
		"for a large string": func() func(*Program) {
			large := strings.Repeat("x", 2*spareMemory)
			return func(p *Program) { p.Call("chdir", unix.SYS_CHDIR, Str(large)) }
		},
		"for many strings": func() func(*Program) {
			many := slices.Repeat([]string{"x"}, spareMemory/8)
			return func(p *Program) { p.Call("execve", unix.SYS_EXECVE, Str("/"), Strs(many, -1, nil)) }
		},
		"for the plan": func() func(*Program) {
			return func(p *Program) {
				p.Call("chdir", unix.SYS_CHDIR, MemSlice(NewSlice[byte](p, 2*spareMemory), "x"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			testenv.Subprocess(t, 0, func(t *testing.T) {
				// Go has its heap in advance: it is not the one that gets no memory.
				_ = make([]byte, 16*spareMemory)
				runtime.GC()
				build := prepare()
				if err := start(t, func(*Program) {}); err != nil {
					t.Fatal(err)
				}
				before := noMoreMemory(t)
				err := start(t, build)
				if !errors.Is(err, unix.ENOMEM) {
					t.Errorf("got %v", err)
				}
				if err := unix.Setrlimit(unix.RLIMIT_AS, &before); err != nil {
					t.Fatal(err)
				}
				if err := start(t, func(*Program) {}); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

// start starts a child of a program and waits for its end.
func start(t *testing.T, build func(p *Program)) error {
	t.Helper()
	parent, child, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	defer child.Close()
	p := NewProgram()
	defer p.Close()
	p.Call("exit", unix.SYS_EXIT_GROUP, Int(0))
	build(p)
	c, err := Start(Config{Program: p, Conn: child})
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer c.Pidfd.Close()
	_, err = unix.Wait4(c.Pid, nil, 0, nil)
	return err
}

// spareMemory is what Go has for itself where there is no more memory.
const spareMemory = 32 << 20

// noMoreMemory limits the address space to little more than there is, and returns
// the limit before.
func noMoreMemory(t *testing.T) (before unix.Rlimit) {
	t.Helper()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var pages uint64
	if _, err := fmt.Sscan(string(statm), &pages); err != nil {
		t.Fatal(err)
	}
	if err := unix.Getrlimit(unix.RLIMIT_AS, &before); err != nil {
		t.Fatal(err)
	}
	limit := &unix.Rlimit{Cur: pages*uint64(os.Getpagesize()) + spareMemory, Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_AS, limit); err != nil {
		t.Fatal(err)
	}
	return before
}
