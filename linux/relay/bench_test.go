// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// BenchmarkRelay has dd write to a relay, and cat read or a file grow, beside a loop that
// copies as runc's shim does: MB a second, and the CPU time of this process for each.
func BenchmarkRelay(b *testing.B) {
	for _, block := range []string{"100", "4k", "64k"} {
		for name, move := range map[string]func(b *testing.B, src, dst *os.File) int64{
			"relay": benchRelay,
			"copy":  benchCopy,
		} {
			b.Run("fifo/"+block+"/"+name, func(b *testing.B) { benchmark(b, block, reader(b), move) })
			b.Run("file/"+block+"/"+name, func(b *testing.B) { benchmark(b, block, growing(b), move) })
		}
	}
}

// reader returns a pipe that cat reads.
func reader(b *testing.B) *os.File {
	b.Helper()
	r, w, err := Pipe()
	if err != nil {
		b.Fatal(err)
	}
	cat := exec.Command("cat")
	cat.Stdin = r
	if err := cat.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { w.Close(); _ = cat.Wait() })
	r.Close()
	return w
}

// growing returns a file as a file:// stream has it.
func growing(b *testing.B) *os.File {
	b.Helper()
	f, err := os.OpenFile(filepath.Join(b.TempDir(), "log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return f
}

func benchmark(b *testing.B, block string, dst *os.File, move func(b *testing.B, src, dst *os.File) int64) {
	src, w, err := Pipe()
	if err != nil {
		b.Fatal(err)
	}
	dd := exec.Command("dd", "if=/dev/zero", "bs="+block)
	dd.Stdout = w
	if err := dd.Start(); err != nil {
		b.Fatal(err)
	}
	w.Close()
	before, begin := cpu(b), time.Now()
	time.AfterFunc(time.Second, func() { _ = dd.Process.Kill() })
	bytes := float64(move(b, src, dst)) / 1e6
	seconds, used := time.Since(begin).Seconds(), cpu(b)-before
	src.Close()
	_, _ = dd.Process.Wait()
	b.ReportMetric(bytes/seconds, "MB/s")
	b.ReportMetric(float64(used.Microseconds())/bytes, "us/MB")
	b.ReportMetric(0, "ns/op")
}

func benchRelay(b *testing.B, src, dst *os.File) int64 {
	r, err := New(nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := r.Run(src, dst); err != nil {
		b.Fatal(err)
	}
	return r.Moved()
}

func benchCopy(b *testing.B, src, dst *os.File) int64 {
	n, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, 4096))
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
