// SPDX-License-Identifier: Apache-2.0

package mount

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestEveryOptionOfTheSpecIsKnown(t *testing.T) {
	// config.md, "Linux mount options": those a runtime MUST and SHOULD have.
	const list = `async atime bind defaults dev diratime dirsync exec iversion lazytime loud noatime nodev nodiratime
		noexec noiversion nolazytime norelatime nostrictatime nosuid private rbind relatime remount ro rprivate rshared
		rslave runbindable rw shared silent slave strictatime suid sync unbindable mand nomand nosymfollow symfollow
		rro rrw rsuid rnosuid rdev rnodev rexec rnoexec ratime rnoatime rdiratime rnodiratime rrelatime rnorelatime
		rstrictatime rnostrictatime rsymfollow rnosymfollow tmpcopyup idmap ridmap`
	want := strings.Fields(list)
	slices.Sort(want)
	if got := OptionNames(); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		opts string
		want options
	}{
		{"defaults", options{}},
		{"ro nosuid", options{set: unix.MS_RDONLY | unix.MS_NOSUID}},
		{"ro rw", options{cleared: unix.MS_RDONLY}},
		{"rw ro", options{set: unix.MS_RDONLY}},
		{"bind ro", options{bind: true, set: unix.MS_RDONLY}},
		{"rbind", options{bind: true, rec: true}},
		{"rbind bind", options{bind: true, rec: true}},
		{"noatime strictatime", options{set: unix.MS_STRICTATIME}},
		{"noatime atime", options{cleared: unix.MS_NOATIME}},
		{"rslave shared", options{propagation: []propagation{unix.MS_SLAVE | unix.MS_REC, unix.MS_SHARED}}},
		{"rro", options{recSet: unix.MOUNT_ATTR_RDONLY}},
		{"rro rrw", options{recClear: unix.MOUNT_ATTR_RDONLY}},
		{"rnoatime rstrictatime", options{recSet: unix.MOUNT_ATTR_STRICTATIME, recClear: unix.MOUNT_ATTR__ATIME}},
		{"rstrictatime rrelatime", options{recClear: unix.MOUNT_ATTR__ATIME}},
		{"rnodiratime", options{recSet: unix.MOUNT_ATTR_NODIRATIME}},
		{"mode=755 size=1k,nr_inodes=3", options{data: []string{"mode=755", "size=1k", "nr_inodes=3"}}},
		{`context="a:b:c1,c2",newinstance`, options{data: []string{`context="a:b:c1,c2"`, "newinstance"}}},
		{"tmpcopyup ridmap", options{copyUp: true, idmap: "ridmap"}},
	} {
		if got := parse(strings.Fields(c.opts)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.opts, got, c.want)
		}
	}
}

func TestBindAttrs(t *testing.T) {
	const all = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV |
		unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSYMFOLLOW
	for _, c := range []struct {
		opts        string
		exact, keep unix.MountAttr
		ok          bool
	}{
		{"bind", unix.MountAttr{}, unix.MountAttr{}, false},
		{"bind silent", unix.MountAttr{}, unix.MountAttr{}, false},
		{
			"bind ro",
			unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY, Attr_clr: all},
			unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY, Attr_clr: unix.MOUNT_ATTR_NOSYMFOLLOW},
			true,
		},
		{
			"bind dev",
			unix.MountAttr{Attr_clr: all},
			unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSYMFOLLOW},
			true,
		},
		{
			"bind noatime",
			unix.MountAttr{
				Attr_set: unix.MOUNT_ATTR_NOATIME,
				Attr_clr: all | unix.MOUNT_ATTR__ATIME | unix.MOUNT_ATTR_NODIRATIME,
			},
			unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOATIME, Attr_clr: unix.MOUNT_ATTR__ATIME | unix.MOUNT_ATTR_NOSYMFOLLOW},
			true,
		},
	} {
		o := parse(strings.Fields(c.opts))
		exact, keep, ok := o.bindAttrs()
		if ok != c.ok || ok && (exact != c.exact || keep != c.keep) {
			t.Errorf("%s: got %+v, %+v, %t, want %+v, %+v, %t", c.opts, exact, keep, ok, c.exact, c.keep, c.ok)
		}
	}
}

// Whatever the options, none is lost and none is both set and cleared.
func FuzzParse(f *testing.F) {
	f.Add("ro rw nosuid rro bind size=1,mode=2")
	f.Add(`context="a,b,,","c`)
	f.Add(",,,= == \"")
	f.Fuzz(func(t *testing.T, line string) {
		names := strings.Split(line, " ")
		o := parse(names)
		if o.set&o.cleared != 0 || o.recSet&o.recClear&^unix.MOUNT_ATTR__ATIME != 0 {
			t.Errorf("%q: set and cleared: %+v", line, o)
		}
		var data []string
		for _, n := range names {
			if _, ok := flags[n]; !ok {
				data = append(data, n)
			}
		}
		trim := func(ss ...string) string { return strings.ReplaceAll(strings.Join(ss, ""), ",", "") }
		if got, want := trim(o.data...), trim(data...); got != want {
			t.Errorf("%q: data %q, want %q", line, got, want)
		}
		superblock("tmpfs", "tmpfs", "/", &o, false)
		exact, keep, _ := o.bindAttrs()
		if keep.Attr_set&^exact.Attr_set != 0 || keep.Attr_clr&^exact.Attr_clr != 0 {
			t.Errorf("%q: keep %+v asks for more than %+v", line, keep, exact)
		}
	})
}
