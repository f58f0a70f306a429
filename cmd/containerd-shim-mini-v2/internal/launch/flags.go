// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"fmt"
	"strconv"
	"strings"
)

// Flags is the command line, as containerd writes it.
type Flags struct {
	Namespace     string // containerd's namespace that owns the container
	Address       string // containerd's GRPC socket
	PublishBinary string // accepted and not used: events go over TTRPC_ADDRESS
	ID            string // the container's, or the sandbox's
	Bundle        string // the bundle, where it is not the working directory (delete)
	Socket        string // serve on a socket made at this path, not on descriptor 3
	DebugSocket   string // serve profiles there (build tag pprof)
	Debug         bool
	Version       bool // -v, -version
	Info          bool

	Action string // start, delete, or "" for the daemon
}

// Parse reads flags as package flag would: -f v, -f=v, --f; up to the first word
// that is no flag, the action. Unlike that package it costs nothing to
// initialise.
func Parse(args []string) (*Flags, error) {
	f := new(Flags)
	texts := map[string]*string{
		"namespace": &f.Namespace, "address": &f.Address, "publish-binary": &f.PublishBinary, "id": &f.ID,
		"bundle": &f.Bundle, "socket": &f.Socket, "debug-socket": &f.DebugSocket,
	}
	switches := map[string]*bool{"debug": &f.Debug, "v": &f.Version, "version": &f.Version, "info": &f.Info}

	for len(args) > 0 {
		arg := args[0]
		if len(arg) < 2 || arg[0] != '-' {
			break
		}
		args = args[1:]
		if arg == "--" {
			break
		}
		name, value, given := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		if on := switches[name]; on != nil {
			*on = true
			if given {
				var err error
				if *on, err = strconv.ParseBool(value); err != nil {
					return nil, fmt.Errorf("flag -%s: %q is not a boolean", name, value)
				}
			}
			continue
		}
		text := texts[name]
		if text == nil {
			return nil, fmt.Errorf("flag -%s: not defined", name)
		}
		if !given {
			if len(args) == 0 {
				return nil, fmt.Errorf("flag -%s: needs an argument", name)
			}
			value, args = args[0], args[1:]
		}
		*text = value
	}
	if len(args) > 0 {
		f.Action = args[0]
	}
	return f, nil
}
