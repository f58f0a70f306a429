// SPDX-License-Identifier: Apache-2.0

package criu

import (
	"fmt"
	"strings"
	"syscall"
)

// response is criu_resp.
type response struct {
	kind    Kind
	success bool
	pid     int // of a restore
	errno   syscall.Errno
	message string // since criu 3.6, for a few errors
	notify  Notification
	version version
	tracks  bool // feature mem_track
}

// version is a version of criu: 31701 is 3.17.1.
type version int

// String returns the usual form.
func (v version) String() string {
	s := fmt.Sprintf("%d.%d", v/10000, v/100%100)
	if v%100 != 0 {
		s += fmt.Sprintf(".%d", v%100)
	}
	return s
}

func parseResponse(b []byte) (r response, err error) {
	err = fields(b, func(f field) error {
		switch f.num {
		case 1:
			r.kind = Kind(f.number)
		case 2:
			r.success = f.number != 0
		case 4:
			return fields(f.bytes, func(f field) error {
				if f.num == 1 {
					r.pid = int(int32(f.number))
				}
				return nil
			})
		case 5:
			return r.notify.parse(f.bytes)
		case 7:
			r.errno = syscall.Errno(int32(f.number))
		case 8:
			return fields(f.bytes, func(f field) error {
				if f.num == 1 {
					r.tracks = f.number != 0
				}
				return nil
			})
		case 9:
			r.message = strings.ToValidUTF8(string(f.bytes), "?")
		case 10:
			return r.version.parse(f.bytes)
		}
		return nil
	})
	if err != nil {
		return response{}, fmt.Errorf("read criu's answer: %w", err)
	}
	return r, nil
}

func (n *Notification) parse(b []byte) error {
	return fields(b, func(f field) error {
		switch f.num {
		case 1:
			n.Script = string(f.bytes)
		case 2:
			n.Pid = int(int32(f.number))
		}
		return nil
	})
}

func (v *version) parse(b []byte) error {
	return fields(b, func(f field) error {
		switch f.num {
		case 1:
			*v += version(f.number) * 10000
		case 2:
			*v += version(f.number) * 100
		case 4:
			*v += version(f.number)
		}
		return nil
	})
}

// err returns why criu failed, or nil.
func (r *response) err() error {
	if r.success {
		return nil
	}
	switch {
	case r.message != "":
		return fmt.Errorf("%w: %s", ErrFailed, r.message)
	case r.errno != 0:
		return fmt.Errorf("%w: %w", ErrFailed, r.errno)
	}
	return ErrFailed
}
