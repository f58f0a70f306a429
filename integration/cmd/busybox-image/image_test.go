// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"path"
	"strings"
	"testing"
)

// TestImage: the same input gives the same bytes, every blob has the digest
// of its name, and the layer has the files.
func TestImage(t *testing.T) {
	build := func() []byte {
		layer, err := makeLayer([]byte("a program"), []string{"busybox", "sh", "ls"})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := writeImages(&out, layer); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	image := build()
	if !bytes.Equal(image, build()) {
		t.Error("two images of the same files differ")
	}
	blobs := entries(t, image)
	files := map[string]string{}
	for name, data := range blobs {
		if path.Dir(name) != "blobs/sha256" {
			continue
		}
		if sum := sha256.Sum256([]byte(data)); hex.EncodeToString(sum[:]) != path.Base(name) {
			t.Errorf("%s has another digest", name)
		}
		if data[0] != '{' {
			files = entries(t, []byte(data))
		}
	}
	for _, name := range []string{"index.json", "oci-layout"} {
		if blobs[name] == "" {
			t.Errorf("no %s", name)
		}
	}
	for _, image := range images {
		if !strings.Contains(blobs["index.json"], image.name) {
			t.Errorf("%s is not in the index", image.name)
		}
	}
	if files["bin/busybox"] != "a program" || files["bin/sh"] != "-> busybox" || files["etc/passwd"] == "" {
		t.Errorf("files of the layer: %q", files)
	}
}

// entries are the files of a tar with their content, or where they point.
func entries(t *testing.T, data []byte) map[string]string {
	t.Helper()
	all := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Linkname != "" {
			text = []byte("-> " + h.Linkname)
		}
		all[h.Name] = string(text)
	}
}
