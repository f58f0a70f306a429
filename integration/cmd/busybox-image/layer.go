// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"slices"
	"strings"
)

// files are the image's files beside busybox.
var files = map[string]string{
	"etc/group":    "root:x:0:\ndaemon:x:1:\ntty:x:5:\nmini:x:1000:\nextra:x:2000:mini\nnogroup:x:65534:\n",
	"etc/hostname": "mini\n",
	"etc/hosts":    "127.0.0.1 localhost\n",
	"etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n" +
		"mini:x:1000:1000:mini:/home/mini:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
	"etc/unreadable": "only root reads this\n",
}

// makeLayer is the one layer of the image, an uncompressed tar: busybox with a
// symbolic link for each applet, a few files, and the directories that the
// default spec mounts on.
func makeLayer(busybox []byte, applets []string) ([]byte, error) {
	var headers []tar.Header
	content := map[string]string{"bin/busybox": string(busybox)}
	add := func(h tar.Header) { headers = append(headers, h) }
	for _, dir := range []string{"bin", "dev", "etc", "home", "proc", "root", "run", "sys", "usr", "usr/sbin", "var"} {
		add(tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755})
	}
	add(tar.Header{Typeflag: tar.TypeDir, Name: "home/mini/", Mode: 0o755, Uid: 1000, Gid: 1000})
	add(tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777})
	add(tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755, Size: int64(len(busybox))})
	for _, name := range applets {
		if name != "busybox" {
			add(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox", Mode: 0o777})
		}
	}
	for name, text := range files {
		mode := int64(0o644)
		if name == "etc/unreadable" {
			mode = 0o600
		}
		content[name] = text
		add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(text))})
	}
	slices.SortFunc(headers, func(a, b tar.Header) int { return strings.Compare(a.Name, b.Name) })

	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		h.Format = tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := w.Write([]byte(content[h.Name])); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
