// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"fmt"
	"strings"
)

// Any is a google.protobuf.Any.
type Any struct {
	TypeURL string
	Value   []byte
}

// Name is the message's name: the type URL less what stands before its last
// slash.
func (a *Any) Name() string { return a.TypeURL[strings.LastIndexByte(a.TypeURL, '/')+1:] }

// Params is what containerd tells a shim that it starts: the message
// containerd.runtime.bootstrap.v1.BootstrapParams, or as much of it as an older
// containerd's input, flags and environment carry.
type Params struct {
	ID           string
	Namespace    string
	LogLevel     int32 // 0 is info, -4 debug, -8 trace
	Version      string
	TTRPCAddress string
	GRPCAddress  string
	Binary       string
	Extensions   []Any
	SocketDir    string

	// Legacy says that containerd is older than 2.3 and does not understand
	// BootstrapResult.
	Legacy bool
}

// Read decodes the standard input of `start`. id and namespace are those of the
// command line.
func Read(input []byte, id, namespace string) (*Params, error) {
	p := new(Params)
	if err := p.decode(input); err == nil && p.ID == id && p.Namespace == namespace {
		return p, nil
	}
	p = &Params{ID: id, Namespace: namespace, Legacy: true}
	if len(input) == 0 {
		return p, nil
	}
	var options Any
	if err := options.decode(input); err != nil {
		return nil, fmt.Errorf("read standard input: neither bootstrap parameters nor runtime options: %w", err)
	}
	if options.TypeURL != "" {
		p.Extensions = []Any{options}
	}
	return p, nil
}

func (p *Params) decode(b []byte) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		if f.typ == wireVarint && f.num == 3 {
			p.LogLevel = int32(f.varint)
		}
		if f.typ != wireBytes {
			continue
		}
		if f.num == 8 {
			var a Any
			if err := a.decodeExtension(f.bytes); err != nil {
				return err
			}
			p.Extensions = append(p.Extensions, a)
			continue
		}
		if to := p.text(f.num); to != nil {
			if *to, err = f.text(); err != nil {
				return err
			}
		}
	}
	return nil
}

// text returns where the string field num goes.
func (p *Params) text(num uint64) *string {
	switch num {
	case 1:
		return &p.ID
	case 2:
		return &p.Namespace
	case 4:
		return &p.Version
	case 5:
		return &p.TTRPCAddress
	case 6:
		return &p.GRPCAddress
	case 7:
		return &p.Binary
	case 9:
		return &p.SocketDir
	}
	return nil
}

// decodeExtension reads a containerd.runtime.bootstrap.v1.Extension: an Any in
// field 1. Several of these are one, merged.
func (a *Any) decodeExtension(b []byte) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		if f.num == 1 && f.typ == wireBytes {
			if err := a.decode(f.bytes); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *Any) decode(b []byte) error {
	for len(b) > 0 {
		f, rest, err := next(b)
		if err != nil {
			return err
		}
		b = rest
		switch {
		case f.typ != wireBytes:
		case f.num == 1:
			if a.TypeURL, err = f.text(); err != nil {
				return err
			}
		case f.num == 2:
			a.Value = f.bytes
		}
	}
	return nil
}
