// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// class is what an option of the OCI list changes.
type class uint8

const (
	classNone        class = iota // nothing: a default said aloud
	classMount                    // one mount, or the superblock, by an MS_* flag
	classBind                     // the mount is a bind
	classPropagation              // the mount's propagation, by MS_* flags
	classRecursive                // the whole tree of a bind, by a MOUNT_ATTR_* flag
	classCopyUp                   // tmpfs takes the files that it covers
	classIDMap                    // the mount's owners are mapped
)

// effect says what an option does.
type effect struct {
	class class
	bits  uint64
	clear bool // takes the bits away
}

// flags holds the options of the OCI runtime spec (config.md, "Linux mount
// options"). What is not here is data for the filesystem.
var flags = map[string]effect{
	"defaults": {class: classNone},

	"ro":            {classMount, unix.MS_RDONLY, false},
	"rw":            {classMount, unix.MS_RDONLY, true},
	"nosuid":        {classMount, unix.MS_NOSUID, false},
	"suid":          {classMount, unix.MS_NOSUID, true},
	"nodev":         {classMount, unix.MS_NODEV, false},
	"dev":           {classMount, unix.MS_NODEV, true},
	"noexec":        {classMount, unix.MS_NOEXEC, false},
	"exec":          {classMount, unix.MS_NOEXEC, true},
	"nosymfollow":   {classMount, unix.MS_NOSYMFOLLOW, false},
	"symfollow":     {classMount, unix.MS_NOSYMFOLLOW, true},
	"noatime":       {classMount, unix.MS_NOATIME, false},
	"atime":         {classMount, unix.MS_NOATIME, true},
	"nodiratime":    {classMount, unix.MS_NODIRATIME, false},
	"diratime":      {classMount, unix.MS_NODIRATIME, true},
	"relatime":      {classMount, unix.MS_RELATIME, false},
	"norelatime":    {classMount, unix.MS_RELATIME, true},
	"strictatime":   {classMount, unix.MS_STRICTATIME, false},
	"nostrictatime": {classMount, unix.MS_STRICTATIME, true},
	"sync":          {classMount, unix.MS_SYNCHRONOUS, false},
	"async":         {classMount, unix.MS_SYNCHRONOUS, true},
	"dirsync":       {classMount, unix.MS_DIRSYNC, false},
	"lazytime":      {classMount, unix.MS_LAZYTIME, false},
	"nolazytime":    {classMount, unix.MS_LAZYTIME, true},
	"mand":          {classMount, unix.MS_MANDLOCK, false},
	"nomand":        {classMount, unix.MS_MANDLOCK, true},
	"iversion":      {classMount, unix.MS_I_VERSION, false},
	"noiversion":    {classMount, unix.MS_I_VERSION, true},
	"silent":        {classMount, unix.MS_SILENT, false},
	"loud":          {classMount, unix.MS_SILENT, true},
	"remount":       {classMount, unix.MS_REMOUNT, false},

	"bind":  {classBind, 0, false},
	"rbind": {classBind, unix.MS_REC, false},

	"shared":      {classPropagation, unix.MS_SHARED, false},
	"rshared":     {classPropagation, unix.MS_SHARED | unix.MS_REC, false},
	"slave":       {classPropagation, unix.MS_SLAVE, false},
	"rslave":      {classPropagation, unix.MS_SLAVE | unix.MS_REC, false},
	"private":     {classPropagation, unix.MS_PRIVATE, false},
	"rprivate":    {classPropagation, unix.MS_PRIVATE | unix.MS_REC, false},
	"unbindable":  {classPropagation, unix.MS_UNBINDABLE, false},
	"runbindable": {classPropagation, unix.MS_UNBINDABLE | unix.MS_REC, false},

	"rro":            {classRecursive, unix.MOUNT_ATTR_RDONLY, false},
	"rrw":            {classRecursive, unix.MOUNT_ATTR_RDONLY, true},
	"rnosuid":        {classRecursive, unix.MOUNT_ATTR_NOSUID, false},
	"rsuid":          {classRecursive, unix.MOUNT_ATTR_NOSUID, true},
	"rnodev":         {classRecursive, unix.MOUNT_ATTR_NODEV, false},
	"rdev":           {classRecursive, unix.MOUNT_ATTR_NODEV, true},
	"rnoexec":        {classRecursive, unix.MOUNT_ATTR_NOEXEC, false},
	"rexec":          {classRecursive, unix.MOUNT_ATTR_NOEXEC, true},
	"rnosymfollow":   {classRecursive, unix.MOUNT_ATTR_NOSYMFOLLOW, false},
	"rsymfollow":     {classRecursive, unix.MOUNT_ATTR_NOSYMFOLLOW, true},
	"rnodiratime":    {classRecursive, unix.MOUNT_ATTR_NODIRATIME, false},
	"rdiratime":      {classRecursive, unix.MOUNT_ATTR_NODIRATIME, true},
	"rnoatime":       {classRecursive, unix.MOUNT_ATTR_NOATIME, false},
	"ratime":         {classRecursive, unix.MOUNT_ATTR_NOATIME, true},
	"rrelatime":      {classRecursive, unix.MOUNT_ATTR_RELATIME, false},
	"rnorelatime":    {classRecursive, unix.MOUNT_ATTR_RELATIME, true},
	"rstrictatime":   {classRecursive, unix.MOUNT_ATTR_STRICTATIME, false},
	"rnostrictatime": {classRecursive, unix.MOUNT_ATTR_STRICTATIME, true},

	"tmpcopyup": {class: classCopyUp},
	"idmap":     {classIDMap, 0, false},
	"ridmap":    {classIDMap, unix.MS_REC, false},
}

// OptionNames lists the mount options that are more than data for a filesystem,
// sorted, for the runtime's feature list.
func OptionNames() []string {
	names := make([]string, 0, len(flags))
	for name := range flags {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// options holds a mount's options, parsed.
type options struct {
	bind, rec bool
	// set and cleared are MS_* flags. Of several options for one flag the last counts.
	// Setting one of the access-time modes clears the others.
	set, cleared uint64
	propagation  []propagation // one change after another
	// recSet and recClear are MOUNT_ATTR_* flags for the whole tree.
	recSet, recClear uint64
	copyUp           bool
	idmap            string   // the option that asked for it
	data             []string // the filesystem's own, one parameter each
}

// atimeModes are the access-time modes. A mount has at most one of these flags.
const atimeModes = unix.MS_NOATIME | unix.MS_RELATIME | unix.MS_STRICTATIME

// parse reads the option strings of a mount. Every string is valid.
func parse(opts []string) options {
	var o options
	for _, name := range opts {
		f, ok := flags[name]
		if !ok {
			o.data = append(o.data, split(name)...)
			continue
		}
		switch f.class {
		case classNone:
		case classMount:
			o.flag(f)
		case classBind:
			o.bind, o.rec = true, o.rec || f.bits != 0
		case classPropagation:
			o.propagation = append(o.propagation, propagation(f.bits))
		case classRecursive:
			o.recursive(f)
		case classCopyUp:
			o.copyUp = true
		case classIDMap:
			o.idmap = name
		}
	}
	return o
}

func (o *options) flag(f effect) {
	if f.clear {
		o.set &^= f.bits
		o.cleared |= f.bits
		return
	}
	if f.bits&atimeModes != 0 {
		o.set &^= atimeModes
		o.cleared &^= atimeModes
	}
	o.set |= f.bits
	o.cleared &^= f.bits
}

// recursive notes an attribute of a whole tree. The access-time modes are one
// field of mount_setattr(2), in which relatime is zero: clearing any of them
// leaves relatime. To change the field, attr_clr must name it.
func (o *options) recursive(f effect) {
	if f.bits&unix.MOUNT_ATTR__ATIME == f.bits {
		o.recSet &^= unix.MOUNT_ATTR__ATIME
		o.recClear |= unix.MOUNT_ATTR__ATIME
		if !f.clear {
			o.recSet |= f.bits
		}
		return
	}
	if f.clear {
		o.recSet &^= f.bits
		o.recClear |= f.bits
		return
	}
	o.recSet |= f.bits
	o.recClear &^= f.bits
}

// split cuts filesystem data at the commas that are not inside double quotes, as
// mount(2) does with its data (SELinux contexts hold commas).
func split(s string) []string {
	if !strings.Contains(s, ",") {
		if s == "" {
			return nil
		}
		return []string{s}
	}
	var parts []string
	quoted := false
	start := 0
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || s[i] == ',' && !quoted:
			if i > start {
				parts = append(parts, s[start:i])
			}
			start = i + 1
		case s[i] == '"':
			quoted = !quoted
		}
	}
	return parts
}
