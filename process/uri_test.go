// SPDX-License-Identifier: Apache-2.0

package process

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
)

func TestParseEndpoint(t *testing.T) {
	for _, c := range []struct {
		uri  string
		want endpoint
	}{
		{"", endpoint{}},
		{"/run/fifo/a-stdout", endpoint{scheme: schemeFifo, path: "/run/fifo/a-stdout"}},
		{"/run/100%/a b", endpoint{scheme: schemeFifo, path: "/run/100%/a b"}},
		{"fifo:///run/a%20b", endpoint{scheme: schemeFifo, path: "/run/a b"}},
		{"file:///var/log/a.log", endpoint{scheme: schemeFile, path: "/var/log/a.log"}},
		{"binary:///bin/logger", endpoint{scheme: schemeBinary, path: "/bin/logger"}},
		{"binary-v2:///bin/l?z=1&a=two+words&z=3&flag", endpoint{
			scheme: schemeBinaryV2, path: "/bin/l", args: []string{"z", "1", "a", "two words", "z", "3", "flag", ""},
		}},
		{"binary:///bin/sh?-c=printf%20x%20%3E%265", endpoint{
			scheme: schemeBinary, path: "/bin/sh", args: []string{"-c", "printf x >&5"},
		}},
	} {
		got, err := parseEndpoint(c.uri)
		if err != nil || got.scheme != c.want.scheme || got.path != c.want.path || !slices.Equal(got.args, c.want.args) {
			t.Errorf("%q: got %+v, %v, want %+v", c.uri, got, err, c.want)
		}
	}
}

func TestParseEndpointRefuses(t *testing.T) {
	for _, uri := range []string{
		"relative", "fifo://relative/path", "file://host/x", "http:///x", "npipe:////./pipe/x", "binary://",
		"file://", "binary:///l?a=%zz", "file:///%zz", "://x", "file://u@/x", "/with\x00nul",
		"ttrpc+unix:///run/x.sock?streaming_id=1",
	} {
		if got, err := parseEndpoint(uri); !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%q: got %+v, %v, want an invalid argument", uri, got, err)
		}
	}
}

func FuzzParseEndpoint(f *testing.F) {
	for _, seed := range []string{"/a", "fifo:///a", "binary:///l?a=b&c", "file:///%2e", "x://", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		e, err := parseEndpoint(uri)
		switch {
		case err != nil:
			if !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Fatalf("%q: %v has no code", uri, err)
			}
		case uri == "":
			if e.scheme != schemeNone {
				t.Fatalf("no uri: %+v", e)
			}
		case !filepath.IsAbs(e.path) || len(e.args)%2 != 0 || len(e.args) > 0 && !e.isBinary():
			t.Fatalf("%q: %+v", uri, e)
		}
	})
}
