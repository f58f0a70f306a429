// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"encoding/binary"
	"net"
)

// countedConn is a connection that tells its life of each request and each answer.
// The server reads it in one goroutine and writes it in another, and closes it.
type countedConn struct {
	*net.UnixConn
	life    *life
	in, out frames
	closed  bool // guarded by life.mu
	pending int  // guarded by life.mu; requests without a whole answer
}

// Read reads requests.
func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.UnixConn.Read(p)
	if requests := c.in.count(p[:n], request); requests > 0 {
		c.life.count(c, requests, 0)
	}
	return n, err
}

// Write writes answers.
func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.UnixConn.Write(p)
	if answers := c.out.count(p[:n], response); answers > 0 {
		c.life.count(c, 0, answers)
	}
	return n, err
}

// Close closes the connection and takes it off the count.
func (c *countedConn) Close() error {
	c.life.disconnected(c)
	return c.UnixConn.Close()
}

// A message of ttrpc (PROTOCOL.md of its module) is a header and data:
//
//	length of the data, 4 bytes, big endian | stream, 4 bytes | type | flags
const (
	headerSize = 10
	typeAt     = 8

	request  = 1
	response = 2
)

// frames finds the messages in the bytes of one direction, however these are cut.
type frames struct {
	header [headerSize]byte
	have   int // bytes of header
	left   int // bytes that the message's data still has
}

// count takes the next bytes and returns how many messages of a type end in them.
func (f *frames) count(p []byte, kind byte) (ended int) {
	for {
		if f.have < headerSize {
			n := copy(f.header[f.have:], p)
			f.have += n
			p = p[n:]
			if f.have < headerSize {
				return ended
			}
			f.left = int(binary.BigEndian.Uint32(f.header[:]))
		}
		n := min(f.left, len(p))
		f.left -= n
		p = p[n:]
		if f.left > 0 {
			return ended
		}
		f.have = 0
		if f.header[typeAt] == kind {
			ended++
		}
		if len(p) == 0 {
			return ended
		}
	}
}
