// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv"
)

// copied is a mount that copies what is in /up.
func copied(options ...string) specs.Mount {
	return specs.Mount{Destination: "/up", Type: "tmpfs", Source: "tmpfs", Options: append([]string{"tmpcopyup"}, options...)}
}

// big is more than one splice takes.
var big = strings.Repeat("0123456789abcde\n", 3<<16)

// fill makes files of all kinds below a bundle's /up.
func fill(t testing.TB, bundle string) (up string) {
	t.Helper()
	up = filepath.Join(bundle, "rootfs/up")
	old := time.Unix(1e9, 0)
	err := errors.Join(
		os.MkdirAll(up+"/dir/sub", 0o755),
		os.WriteFile(up+"/dir/sub/file", []byte("text"), 0o600), os.Chmod(up+"/dir/sub/file", 0o755|os.ModeSetuid),
		os.WriteFile(up+"/big", []byte(big), 0o644),
		os.WriteFile(up+"/empty", nil, 0), os.Chmod(up+"/empty", 0o000),
		os.Symlink("/etc/shadow", up+"/link"),
		unix.Mkfifo(up+"/fifo", 0o640), os.Chmod(up+"/fifo", 0o640),
		os.Chmod(up+"/dir", 0o750|os.ModeSetgid),
		os.Mkdir(up+"/many", 0o755),
	)
	for i := range 600 {
		err = errors.Join(err, os.WriteFile(fmt.Sprintf("%s/many/%d", up, i), []byte(fmt.Sprint(i)), 0o644))
	}
	for _, name := range []string{"dir/sub/file", "dir/sub", "dir", "many"} {
		err = errors.Join(err, os.Chtimes(filepath.Join(up, name), old, old))
	}
	if err != nil {
		t.Fatal(err)
	}
	return up
}

// look tells what a container has in /up.
const look = `cd /up
busybox stat -c '%n %F %a %u:%g' big dir dir/sub/file empty fifo link
busybox stat -c '%n %Y' dir dir/sub dir/sub/file many
readlink link; cat dir/sub/file; echo; busybox sha256sum <big
ls many | busybox wc -l; cat many/*|busybox wc -c; touch many/new && stat -f -c %T many/new`

// looks is what look prints where fill was there and root owns it.
const looks = `big regular file 644 0:0
dir directory 2750 0:0
dir/sub/file regular file 4755 0:0
empty regular empty file 0 0:0
fifo fifo 640 0:0
link symbolic link 777 0:0
dir 1000000000
dir/sub 1000000000
dir/sub/file 1000000000
many 1000000000
/etc/shadow
text
%x  -
600
1690
tmpfs
`

// TestCopyUp: a tmpfs with tmpcopyup has what was there, which stays as it was.
func TestCopyUp(t *testing.T) {
	testenv.Root(t)
	for name, spec := range map[string]*specs.Spec{"root": newSpec(t, "sh", "-c", look), "user namespace": userSpec(t, "sh", "-c", look)} {
		t.Run(name, func(t *testing.T) {
			bundle := newBundle(t)
			up := fill(t, bundle)
			if name != "root" {
				chown(t, bundle, 100000)
				for name, mode := range map[string]os.FileMode{"dir/sub/file": 0o755 | os.ModeSetuid, "dir": 0o750 | os.ModeSetgid} { // chown(1) takes those away
					if err := os.Chmod(filepath.Join(up, name), mode); err != nil {
						t.Fatal(err)
					}
				}
			}
			spec.Mounts = append(spec.Mounts, copied())
			spec.Process.NoNewPrivileges = false
			out := newOutput(t)
			started(t, bundle, spec, out)
			if got, want := out.read(t), fmt.Sprintf(looks, sha256.Sum256([]byte(big))); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if _, err := os.Stat(up + "/many/new"); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the rootfs was written to: %v", err)
			}
		})
	}
}

// TestCopyUpFails: what does not fit is an error that names the file, and nothing of
// the container is left.
func TestCopyUpFails(t *testing.T) {
	testenv.Root(t)
	testenv.NoLeaks(t)
	bundle := newBundle(t)
	up := filepath.Join(bundle, "rootfs/up")
	if err := errors.Join(os.Mkdir(up, 0o755), os.WriteFile(up+"/big", []byte(big), 0o644)); err != nil {
		t.Fatal(err)
	}
	spec := newSpec(t, "true")
	spec.Mounts = append(spec.Mounts, copied("size=1m"))
	c, err := create(t, bundle, spec, nil)
	if err == nil {
		_ = c.Destroy(t.Context())
		t.Fatal("created")
	}
	if want := "mount tmpfs on /up: copy up big: no space left on device"; !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
