// SPDX-License-Identifier: Apache-2.0

package host

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
)

func TestFileMappings(t *testing.T) {
	const maps = `00400000-00402000 r-xp 00000000 08:02 173521      /usr/bin/my shim
00651000-00652000 r--p 00051000 08:02 173521                    /usr/bin/my shim
00652000-00655000 rw-p 00052000 08:02 173521                    /usr/bin/my shim
00e03000-00e24000 rw-p 00000000 00:00 0                         [heap]
35b1800000-35b1820000 r-xp 00000000 08:02 135522                /usr/lib64/ld-2.15.so
7ffff7fc0000-7ffff7fc1000 r--p 00000000 00:00 0 
`
	want := [][2]uintptr{{0x400000, 0x402000}, {0x651000, 0x652000}}
	if got := fileMappings(maps, "/usr/bin/my shim"); !slices.Equal(got, want) {
		t.Errorf("fileMappings = %x, want %x", got, want)
	}
}

func TestReleaseImage(t *testing.T) {
	testenv.Subprocess(t, 0, func(t *testing.T) {
		before, err := fileRSS()
		if err != nil {
			t.Fatal(err)
		}
		if err := ReleaseImage(); err != nil {
			t.Fatal(err)
		}
		after, err := fileRSS()
		if err != nil {
			t.Fatal(err)
		}
		if after >= before {
			t.Errorf("%d kB of the file are resident, before %d kB", after, before)
		}
	})
}

func fileRSS() (kb int, err error) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, text, _ := strings.Cut(string(data), "RssFile:")
	return strconv.Atoi(strings.Fields(text)[0])
}
