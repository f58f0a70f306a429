// SPDX-License-Identifier: Apache-2.0

package fork

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Rights is a message with descriptors that the child fills in: the registers are
// the payload of its SCM_RIGHTS control message (unix(7)).
type Rights struct {
	fds []int32 // the tail of control
	oob []byte
	len int
}

// NewRights makes room for n descriptors. n may be 0.
func NewRights(p *Program, n int) *Rights {
	oob := NewSlice[byte](p, unix.CmsgSpace(4*max(n, 1)))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	h.Level, h.Type = unix.SOL_SOCKET, unix.SCM_RIGHTS
	h.SetLen(unix.CmsgLen(4 * n))
	fds := unsafe.Slice((*int32)(unsafe.Pointer(&oob[unix.CmsgLen(0)])), max(n, 1))
	return &Rights{fds: fds, oob: oob, len: n}
}

// Reg is descriptor i as a register.
func (r *Rights) Reg(p *Program, i int) *Reg { return p.RegAt(&r.fds[i]) }

// At is where descriptor i is, for a call that writes it there.
func (r *Rights) At(i int) Arg { return Mem(&r.fds[i], "fd "+strconv.Itoa(i)) }

// Send appends the sendmsg.
func (r *Rights) Send(p *Program, conn *sys.Conn, tag byte, what string) {
	r.send(p, conn, r.header(p, New(p, tag), 1), strconv.QuoteRune(rune(tag)), what)
}

// SendNumber is Send with what a step leaves in the register that it returns, an int32
// behind the tag.
func (r *Rights) SendNumber(p *Program, conn *sys.Conn, tag byte, what string) (number *Reg, send func()) {
	data := New(p, struct {
		_      [3]byte
		tag    byte
		number int32
	}{tag: tag})
	text := strconv.QuoteRune(rune(tag)) + " number"
	return p.RegAt(&data.number), func() { r.send(p, conn, r.header(p, &data.tag, NumberLen), text, what) }
}

// NumberLen is the length of SendNumber's message.
const NumberLen = 5

func (r *Rights) send(p *Program, conn *sys.Conn, msg *unix.Msghdr, text, what string) {
	p.Call(what, unix.SYS_SENDMSG, FD(conn.Fd(), "socket"), Mem(msg, text), Int(unix.MSG_NOSIGNAL))
}

// Receive appends a recvmsg that fills the registers, of a message that
// begins with want.
func (r *Rights) Receive(p *Program, conn *sys.Conn, want byte, what string) {
	tag := New(p, byte(0))
	p.Call(what, unix.SYS_RECVMSG, FD(conn.Fd(), "socket"), Mem(r.header(p, tag, 1), "msg"), Hex(unix.MSG_CMSG_CLOEXEC))
	p.Expect(what, tag, want, unix.EPIPE)
}

func (r *Rights) header(p *Program, data *byte, size int) *unix.Msghdr {
	iov := New(p, unix.Iovec{Base: data})
	iov.SetLen(size)
	msg := New(p, unix.Msghdr{Iov: iov})
	msg.SetIovlen(1)
	if r.len > 0 {
		msg.Control = &r.oob[0]
		msg.SetControllen(unix.CmsgSpace(4 * r.len))
	}
	return msg
}
