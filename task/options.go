// SPDX-License-Identifier: Apache-2.0

package task

import (
	"fmt"
	"strings"

	"github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/containerd-mini/mini/task/toml"
)

// Type URLs of the options that containerd's clients send. CRI and ctr send
// runtimeoptions to every runtime whose type is not runc's; its package had
// another name until containerd 1.3.
const (
	runcOptions    = "containerd.runc.v1.Options"
	genericOptions = "runtimeoptions.v1.Options"
	oldGeneric     = "cri.runtimeoptions.v1.Options"
)

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

// decodeGeneric reads the TOML of generic options, which has the keys of runc's.
func decodeGeneric(g *runtimeoptions.Options) (*options.Options, error) {
	values, err := toml.Load(string(g.ConfigBody), g.ConfigPath)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	var o options.Options
	for _, v := range values {
		if err := setOption(&o, v); err != nil {
			return nil, fmt.Errorf("parse options: line %d: %s: %w: %w", v.Line, v.Key, err, errdefs.ErrInvalidArgument)
		}
	}
	return &o, nil
}

// setOption sets the field that a key names. An unknown key is refused: ignored, a misspelt
// SystemdCgroup would put containers where nobody looks for them.
func setOption(o *options.Options, v toml.Value) error {
	switch v.Name() {
	case "nopivotroot":
		return v.Bool(&o.NoPivotRoot)
	case "nonewkeyring":
		return v.Bool(&o.NoNewKeyring)
	case "systemdcgroup":
		return v.Bool(&o.SystemdCgroup)
	case "shimcgroup":
		return v.String(&o.ShimCgroup)
	case "iouid":
		return v.Uint32(&o.IoUid)
	case "iogid":
		return v.Uint32(&o.IoGid)
	case "root":
		return v.String(&o.Root)
	case "criuimagepath":
		return v.String(&o.CriuImagePath)
	case "criuworkpath":
		return v.String(&o.CriuWorkPath)
	case "binaryname":
		return v.String(&o.BinaryName)
	case "typeurl", "configpath":
		// CRI passes its own section of containerd's configuration on, whose other
		// keys these are.
		var ignored string
		return v.String(&ignored)
	}
	return fmt.Errorf("unknown option")
}
