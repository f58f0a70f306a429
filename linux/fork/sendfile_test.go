// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// TestSendFile: the parent gets the file as it is, up to the limit, and can tell each
// piece from any other message.
func TestSendFile(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789abcde\n"), 2<<20/16)
	for _, size := range []int{
		0,
		1,
		8,
		pieceSize - 1,
		pieceSize,
		pieceSize + 1,
		3 * pieceSize,
		fileLimit - 1,
		fileLimit,
		fileLimit + 1,
		len(text),
	} {
		got, end := sendFile(t, text[:size], 0)
		if want := text[:min(size, fileLimit)]; !bytes.Equal(got, want) || end != nil {
			t.Errorf("%d bytes: got %d, then %v", size, len(got), end)
		}
	}
	if got, end := sendFile(t, text, unix.O_PATH); len(got) > 0 || !errors.Is(end, unix.EBADF) {
		t.Errorf("a read that fails: got %d bytes, then %v", len(got), end)
	}
	if got, end := sendFile(t, text, unix.O_DIRECTORY); len(got) > 0 || !errors.Is(end, unix.ENOTDIR) {
		t.Errorf("a file that is not there: got %d bytes, then %v", len(got), end)
	}
}

// sendFile has a child open a file with text in it and send it.
func sendFile(t *testing.T, text []byte, flags int) (got []byte, end error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	conn, child, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p := NewProgram()
	file := p.NewReg()
	p.Add(Step{For: "open", NR: unix.SYS_OPENAT, Out: file, Args: []Arg{Int(unix.AT_FDCWD), Str(path), Open(flags)}})
	p.SendFile(file, child, 'F', "send", "")
	p.Fail("end", unix.EXDEV)
	c, err := Start(Config{Program: p, Conn: child})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Pidfd.Close()
	child.Close()
	if got, err = p.ReceiveFile(conn, 'F'); err != nil {
		end = err
	} else if msg, _, err := conn.Recv(); err != nil || !errors.Is(p.Failure(msg), unix.EXDEV) {
		t.Errorf("behind the file: %q, %v", msg, err)
	}
	if _, err := sys.PidfdWait(c.Pidfd); err != nil {
		t.Fatal(err)
	}
	return got, end
}
