// SPDX-License-Identifier: Apache-2.0

package process

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
)

// scheme is the kind of thing that a stream is connected to.
type scheme string

// Schemes of containerd's stdio URIs; the empty one is no stream at all.
const (
	schemeNone     scheme = ""
	schemeFifo     scheme = "fifo"      // a bare path too; may also be a file or device that exists
	schemeFile     scheme = "file"      // appended to, made with its directories
	schemeBinary   scheme = "binary"    // a logger; the end of its ready pipe is readiness
	schemeBinaryV2 scheme = "binary-v2" // as binary; one byte on the ready pipe is demanded (containerd 2.2)
)

// endpoint is a parsed stdio URI.
type endpoint struct {
	scheme scheme
	path   string   // absolute
	args   []string // of a binary: the query's keys and values in order
}

func (e endpoint) isBinary() bool { return e.scheme == schemeBinary || e.scheme == schemeBinaryV2 }

// parseEndpoint parses a stdio URI. A string without "://" is a path as it
// stands, percent signs and all. ErrInvalidArgument: not a URI we know.
func parseEndpoint(s string) (endpoint, error) {
	if s == "" {
		return endpoint{}, nil
	}
	e := endpoint{scheme: schemeFifo, path: s}
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil {
			return endpoint{}, badURI(s, err.Error())
		}
		e = endpoint{scheme: scheme(u.Scheme), path: u.Path}
		switch {
		case e.scheme != schemeFifo && e.scheme != schemeFile && !e.isBinary():
			return endpoint{}, badURI(s, "unknown scheme")
		case u.Host != "" || u.User != nil:
			return endpoint{}, badURI(s, "names a host")
		}
		if e.isBinary() {
			if e.args, err = queryArgs(u.RawQuery); err != nil {
				return endpoint{}, badURI(s, err.Error())
			}
		}
	}
	if !filepath.IsAbs(e.path) || strings.ContainsRune(e.path, 0) {
		return endpoint{}, badURI(s, "not an absolute path")
	}
	return e, nil
}

// queryArgs turns a query into a logger's arguments: k=v is two of them. Unlike
// url.Values it keeps the order and every value.
func queryArgs(query string) (args []string, err error) {
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		for _, part := range []string{key, value} {
			arg, err := url.QueryUnescape(part)
			if err != nil {
				return nil, err
			}
			args = append(args, arg)
		}
	}
	return args, nil
}

func badURI(s, why string) error {
	return fmt.Errorf("stdio uri %q: %s: %w", s, why, errdefs.ErrInvalidArgument)
}
