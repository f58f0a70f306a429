// SPDX-License-Identifier: Apache-2.0

package sys

import (
	"slices"
	"strings"
	"testing"
)

func TestReadMountinfo(t *testing.T) {
	const long = `26 24 0:25 / /long rw - overlay o rw,lowerdir=`
	got, err := ReadMountinfo(strings.NewReader(`22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 /a\040b /mnt/c\134d\011e rw shared:2 master:1 - cgroup2 cgroup2 rw
24 22 0:22 / /octal\043\777\9 rw - tmp\fs - rw
not a line of it
25 24 0:23 / /short
` + long + strings.Repeat("/layer:", 20000) + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Mountpoint{
		{Path: "/", Root: "/", Type: "ext4"},
		{Path: "/mnt/c\\d\te", Root: "/a b", Type: "cgroup2"},
		{Path: "/octal#\xff\\9", Root: "/", Type: `tmp\fs`},
		{Path: "/long", Root: "/", Type: "overlay"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzReadMountinfo(f *testing.F) {
	f.Add("22 1 0:20 / /a\\040b rw - ext4 /dev/sda1 rw\n")
	f.Add("1 2 3 \\ \\1 - ")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := ReadMountinfo(strings.NewReader(text))
		if err == nil && len(all) > strings.Count(text, "\n")+1 {
			t.Errorf("%d mounts in %q", len(all), text)
		}
	})
}
