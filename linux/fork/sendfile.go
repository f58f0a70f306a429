// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// A file that the child reads for the parent goes over the socket in pieces. A piece
// begins with a head, so that it is longer than a report of a failure. A piece that is not
// full is the last.
const (
	pieceHead = 16
	pieceSize = 4 << 10 // bytes of the file in a full piece; a power of two
	fileLimit = 1 << 20 // where the child stops, in bytes; a power of two
)

// ReceiveFile waits for a file that the child sends with SendFile or SendNothing. A
// failure of the child is the error; io.EOF means that it was killed.
func (p *Program) ReceiveFile(conn *sys.Conn, tag byte) ([]byte, error) {
	var text []byte
	for {
		msg, files, err := conn.RecvUpTo(pieceHead + pieceSize)
		if err == nil {
			err = p.Failure(msg)
		}
		if err != nil {
			return nil, err
		}
		if len(msg) < pieceHead || msg[0] != tag || len(files) > 0 {
			for _, f := range files {
				_ = f.Close() // nothing was written
			}
			return nil, fmt.Errorf("unexpected message %q with %d descriptors", msg, len(files))
		}
		text = append(text, msg[pieceHead:]...)
		if len(msg) < pieceHead+pieceSize || len(text) >= fileLimit {
			return text, nil
		}
	}
}

// SendNothing appends a step that sends an empty file.
func (p *Program) SendNothing(conn *sys.Conn, tag byte, what string) {
	head := New(p, [pieceHead]byte{tag})
	p.Call(what, unix.SYS_SENDTO,
		FD(conn.Fd(), "socket"), Mem(head, "empty piece"), Int(pieceHead), Int(unix.MSG_NOSIGNAL))
}

// SendFile appends steps that read a regular file from its beginning and send it, in
// pieces with tag, up to 1 MiB of it. A short read ends it: for a regular file that is
// its end. The program goes on at fail if a read fails.
func (p *Program) SendFile(file *Reg, conn *sys.Conn, tag byte, what, fail string) {
	head := New(p, [pieceHead]byte{tag})
	data := NewSlice[byte](p, pieceSize)
	parts := NewSlice[unix.Iovec](p, 2)
	parts[0].Base, parts[1].Base = &head[0], &data[0]
	parts[0].SetLen(pieceHead)
	msg := New(p, unix.Msghdr{Iov: &parts[0]})
	msg.SetIovlen(2)
	// Both architectures are little-endian: the lower half of a length comes first.
	n, pos := p.RegAt((*int32)(unsafe.Pointer(&parts[1].Len))), New(p, int32(0))

	more, done := what+": more", what+": done"
	p.Mark(more)
	p.Add(Step{
		For: what, NR: unix.SYS_READ, Out: n, Fail: fail,
		Args: []Arg{Ref(file), MemSlice(data, "buf"), Int(pieceSize)},
	})
	p.Call(what, unix.SYS_SENDMSG, FD(conn.Fd(), "socket"), Mem(msg, "piece"), Int(unix.MSG_NOSIGNAL))
	p.Unless("is the piece full", byteOf(n.val, pieceSize), byte(pieceSize>>8), 0xff, done)
	p.Add(Step{
		For: what, NR: unix.SYS_LSEEK, Out: p.RegAt(pos), Fail: done,
		Args: []Arg{Ref(file), Int(0), Int(unix.SEEK_CUR)},
	})
	p.Unless("is the limit ahead", byteOf(pos, fileLimit), 0, ^byte(fileLimit>>16-1), done)
	p.Add(Step{For: "go on", NR: OpNop, OK: more})
	p.Mark(done)
}

// byteOf is the byte of v in which the bit is.
func byteOf(v *int32, bit uint32) *byte {
	at := uintptr(0)
	for ; bit > 0xff; bit >>= 8 {
		at++
	}
	return (*byte)(unsafe.Add(unsafe.Pointer(v), at))
}
