// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"time"
)

// file is a directory where its name ends with a slash, a hard link where it
// has one, else a regular file.
type file struct {
	name, link, text string
	mode             int64 // 0: 0755 of a directory, 0644 of a file
	uid, gid         int
}

// modified is the time of every file. It has nanoseconds, for the difference of
// two snapshots: containerd takes a time without for cut off, and compares the
// files' content, which is busybox once for each of its names.
var modified = created.Add(time.Nanosecond)

// tree is a list of files, each after the directory it is in.
type tree []file

// tar is an archive of the tree, the same at each call.
func (t tree) tar() []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range t {
		if err := f.write(w); err != nil {
			panic(fmt.Sprintf("tar of %s: %v", f.name, err)) // a buffer takes everything: our table is wrong
		}
	}
	if err := w.Close(); err != nil {
		panic(fmt.Sprintf("tar: %v", err))
	}
	return out.Bytes()
}

func (f file) write(w *tar.Writer) error {
	h := &tar.Header{
		Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Uid: f.uid, Gid: f.gid,
		Size: int64(len(f.text)), ModTime: modified, Format: tar.FormatPAX,
	}
	defaultMode := int64(0o644)
	switch {
	case strings.HasSuffix(f.name, "/"):
		h.Typeflag, defaultMode = tar.TypeDir, 0o755
	case f.link != "":
		h.Typeflag, h.Linkname = tar.TypeLink, f.link
	}
	if h.Mode == 0 {
		h.Mode = defaultMode
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Write([]byte(f.text))
	return err
}
