// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTerminal(t *testing.T) {
	onRig(t, func(r *rig) {
		in, out := fifo(r.TB, "in"), fifo(r.TB, "out")
		w, f := client(r.TB, out, os.O_RDONLY), client(r.TB, in, os.O_RDONLY) // the fifo needs a reader to be opened
		_ = f
		typed := client(r.TB, in, os.O_WRONLY)
		r.must(f.Close())
		c := r.create(Stdio{Stdin: in, Stdout: out, Terminal: true}, "stty size; read x; echo got $x; seq 3000; printf last")
		r.must(c.Init().Resize(100, 40))
		r.start(c.Init(), nil)
		_, err := typed.WriteString("word\n")
		r.must(err)
		got := readAll(r.TB, w)
		if !strings.Contains(got, "40 100\r\n") || !strings.Contains(got, "got word\r\n") ||
			!strings.HasSuffix(got, "\r\n3000\r\nlast") {
			r.Errorf("output of %d bytes: %.80q ... %.40q", len(got), got, got[max(0, len(got)-40):])
		}
		r.wait(c.Init())
		r.must(c.Close(r.Context()))
	})
}

// The end of stdin hangs the terminal up, as under runc's shim: a program that
// reads it ends. (The SIGHUP is nothing to a pid 1 that has no handler.)
func TestTerminalIsHungUpAtTheEndOfStdin(t *testing.T) {
	onRig(t, func(r *rig) {
		in, out := fifo(r.TB, "in"), fifo(r.TB, "out")
		client(r.TB, out, os.O_RDONLY)
		c := r.create(Stdio{Stdin: in, Stdout: out, Terminal: true}, "while read x; do :; done; exit 5")
		r.start(c.Init(), nil)
		r.must(c.Init().CloseStdin())
		if e := r.wait(c.Init()); e.Code != 5 {
			r.Errorf("got %+v", e)
		}
		r.must(c.Close(r.Context()))
	})
}

// A grandchild that keeps the terminal open delays neither the exit nor the end
// of the output.
func TestTerminalOfAGrandchild(t *testing.T) {
	onRig(t, func(r *rig) {
		c := r.create(Stdio{}, "sleep 1000")
		r.start(c.Init(), nil)
		out := fifo(r.TB, "out")
		f := client(r.TB, out, os.O_RDONLY)
		start := time.Now()
		e := r.start(r.exec(c, "e", "trap '' HUP; sleep 1000 & echo bye", Stdio{Stdout: out, Terminal: true}))
		if x := r.wait(e); x.Code != 0 {
			r.Errorf("got %+v", x)
		}
		if got := readAll(r.TB, f); got != "bye\r\n" {
			r.Errorf("got %q", got)
		}
		_, err := e.Delete(r.Context())
		r.must(err)
		if d := time.Since(start); d > 5*hangupGrace {
			r.Errorf("took %s", d)
		}
		r.must(c.Close(r.Context()))
	})
}

// A reader that is slow gets everything all the same.
func TestTerminalWithASlowReader(t *testing.T) {
	onRig(t, func(r *rig) {
		out := fifo(r.TB, "out")
		f := client(r.TB, out, os.O_RDONLY)
		c := r.create(Stdio{Stdout: out, Terminal: true}, "seq 30000; printf end")
		r.start(c.Init(), nil)
		var got strings.Builder
		buf := make([]byte, 8192)
		for {
			n, err := f.Read(buf)
			got.Write(buf[:n])
			if errors.Is(err, io.EOF) {
				break
			}
			r.must(err)
			time.Sleep(2 * time.Millisecond)
		}
		if s := got.String(); !strings.HasSuffix(s, "30000\r\nend") || strings.Count(s, "\n") != 30000 {
			r.Errorf("%d lines, the end is %.20q", strings.Count(s, "\n"), s[max(0, len(s)-20):])
		}
		r.wait(c.Init())
		r.must(c.Close(r.Context()))
	})
}
