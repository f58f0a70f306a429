// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Superblock is a filesystem to be made with fsopen(2), one fsconfig(2) for each
// parameter, FSCONFIG_CMD_CREATE, and fsmount(2).
type Superblock struct {
	Type   string  // for fsopen
	Params []Param // in order
	Attrs  uint32  // MOUNT_ATTR_* flags, for fsmount
	Target string  // where it goes in the container; for humans
}

// Param is one parameter of a superblock.
type Param struct {
	Key   string
	Value string // of at most 255 bytes
	Flag  bool   // FSCONFIG_SET_FLAG, there is no value; else FSCONFIG_SET_STRING
}

// String says what the superblock is for: `mount tmpfs on /run`.
func (b *Superblock) String() string { return "mount " + b.Type + " on " + b.Target }

// make makes the filesystem as the child does, but on the calling thread.
func (b *Superblock) make() (int, error) {
	fs, err := sys.FSOpen(b.Type)
	if err != nil {
		return -1, err
	}
	defer sys.Close(fs)
	return b.build(fs)
}

// makeOwn is like make. Its error has the kernel's messages.
func (b *Superblock) makeOwn() (int, error) {
	fs, err := sys.FSOpen(b.Type)
	if err != nil {
		return -1, err
	}
	defer sys.Close(fs)
	tree, err := b.build(fs)
	if err == nil {
		return tree, nil
	}
	if text := sys.FSErrors(fs); text != "" {
		err = fmt.Errorf("%w (%s)", err, text)
	}
	return -1, err
}

func (b *Superblock) build(fs int) (_ int, err error) {
	for _, p := range b.Params {
		if p.Flag {
			err = sys.FSFlag(fs, p.Key)
		} else {
			err = sys.FSString(fs, p.Key, p.Value)
		}
		if err != nil {
			return -1, err
		}
	}
	return sys.FSMount(fs, b.Attrs)
}

// superblock turns a mount's options into parameters. fits is false when one of
// them is too long for fsconfig(2) or has no parameter. Then it takes mount(2).
func superblock(fstype, source, target string, o *options, lateRO bool) (b Superblock, fits bool) {
	b = Superblock{Type: fstype, Target: target, Attrs: o.mountAttrs()}
	fits = o.set&unix.MS_I_VERSION == 0
	if source != "" {
		b.Params = append(b.Params, Param{Key: "source", Value: source})
		fits = fits && len(source) <= sys.FSParam
	}
	for _, f := range superFlags {
		if o.set&f.ms != 0 && !(f.ms == unix.MS_RDONLY && lateRO) {
			b.Params = append(b.Params, Param{Key: f.key, Flag: true})
		}
	}
	if lateRO {
		b.Attrs &^= unix.MOUNT_ATTR_RDONLY
	}
	for _, d := range o.data {
		key, value, ok := strings.Cut(d, "=")
		b.Params = append(b.Params, Param{Key: key, Value: unquote(value), Flag: !ok})
		fits = fits && len(key) <= sys.FSParam && len(value) <= sys.FSParam && key != ""
	}
	return b, fits
}

// unquote removes the double quotes that keep commas together in mount(2)'s
// data; fsconfig(2) takes the bare value.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}
