// SPDX-License-Identifier: Apache-2.0

package task

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Type URLs of the options that containerd's clients send. CRI and ctr send
// runtimeoptions to every runtime whose type is not runc's; its package had
// another name until containerd 1.3.
const (
	runcOptions    = "containerd.runc.v1.Options"
	genericOptions = "runtimeoptions.v1.Options"
	oldGeneric     = "cri.runtimeoptions.v1.Options"
)

// maxConfig bounds an options file, which is a few lines.
const maxConfig = 1 << 20

// DecodeOptions reads the runtime options of a request: none, runc's own, or
// the generic ones with runc's in TOML, inline or in a file. The result is never
// nil without an error. ErrInvalidArgument: not options of this runtime.
//
// BinaryName and Root name what this runtime does not have and are accepted
// without effect, so that a configuration made for runc works.
func DecodeOptions(a *anypb.Any) (*options.Options, error) {
	var o options.Options
	if len(a.GetValue()) == 0 {
		return &o, nil
	}
	url := a.GetTypeUrl()
	switch url[strings.LastIndexByte(url, '/')+1:] {
	case runcOptions:
		if err := proto.Unmarshal(a.GetValue(), &o); err != nil {
			return nil, fmt.Errorf("decode options: %w: %w", err, errdefs.ErrInvalidArgument)
		}
		return &o, nil
	case genericOptions, oldGeneric:
		var g runtimeoptions.Options
		if err := proto.Unmarshal(a.GetValue(), &g); err != nil {
			return nil, fmt.Errorf("decode options: %w: %w", err, errdefs.ErrInvalidArgument)
		}
		return decodeGeneric(&g)
	}
	return nil, fmt.Errorf("decode options: type %q is not known: %w", url, errdefs.ErrInvalidArgument)
}

// decodeGeneric reads the TOML of generic options. A body wins over a path, as
// a client that sends both has read the file.
func decodeGeneric(g *runtimeoptions.Options) (*options.Options, error) {
	body, source := g.ConfigBody, "options"
	if len(body) == 0 && g.ConfigPath != "" {
		f, err := os.Open(g.ConfigPath)
		if err != nil {
			return nil, fmt.Errorf("read options: %w: %w", err, errdefs.ErrInvalidArgument)
		}
		defer f.Close()
		if body, err = io.ReadAll(io.LimitReader(f, maxConfig)); err != nil {
			return nil, fmt.Errorf("read options: %w", err)
		}
		source = g.ConfigPath
	}
	o, err := parseOptions(string(body))
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w: %w", source, err, errdefs.ErrInvalidArgument)
	}
	return o, nil
}

// parseOptions reads a flat TOML document with the keys of runc's options.
func parseOptions(text string) (*options.Options, error) {
	var o options.Options
	values, err := parseTOML(text)
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		if err := setOption(&o, v); err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", v.line, v.key, err)
		}
	}
	return &o, nil
}

// setOption sets the field that a key names, in any case, as containerd's own
// TOML decoder matches them. An unknown key is refused: ignored, a misspelt
// SystemdCgroup would put containers where nobody looks for them.
func setOption(o *options.Options, v tomlValue) error {
	switch strings.ToLower(v.key) {
	case "nopivotroot":
		return v.bool(&o.NoPivotRoot)
	case "nonewkeyring":
		return v.bool(&o.NoNewKeyring)
	case "systemdcgroup":
		return v.bool(&o.SystemdCgroup)
	case "shimcgroup":
		return v.string(&o.ShimCgroup)
	case "iouid":
		return v.uint32(&o.IoUid)
	case "iogid":
		return v.uint32(&o.IoGid)
	case "root":
		return v.string(&o.Root)
	case "criuimagepath":
		return v.string(&o.CriuImagePath)
	case "criuworkpath":
		return v.string(&o.CriuWorkPath)
	case "binaryname":
		return v.string(&o.BinaryName)
	case "typeurl", "configpath":
		// CRI passes its own section of containerd's configuration on, whose other
		// keys these are.
		var ignored string
		return v.string(&ignored)
	}
	return fmt.Errorf("unknown option")
}
