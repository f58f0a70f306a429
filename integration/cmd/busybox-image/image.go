// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// writeImage writes an OCI image layout of one manifest with one layer.
func writeImage(out io.Writer, layer []byte) error {
	blobs := map[string][]byte{}
	blob := func(mediaType string, data []byte) v1.Descriptor {
		sum := sha256.Sum256(data)
		hash := hex.EncodeToString(sum[:])
		blobs["blobs/sha256/"+hash] = data
		return v1.Descriptor{MediaType: mediaType, Digest: digest.NewDigestFromEncoded(digest.SHA256, hash), Size: int64(len(data))}
	}
	asJSON := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			panic(err) // the image-spec's own types always marshal
		}
		return data
	}

	layerBlob := blob(v1.MediaTypeImageLayer, layer)
	platform := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	configBlob := blob(v1.MediaTypeImageConfig, asJSON(v1.Image{
		Platform: platform,
		Config: v1.ImageConfig{
			Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
			Cmd: []string{"sh"},
		},
		RootFS: v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{layerBlob.Digest}},
	}))
	manifest := blob(v1.MediaTypeImageManifest, asJSON(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageManifest,
		Config:    configBlob,
		Layers:    []v1.Descriptor{layerBlob},
	}))
	manifest.Platform = &platform
	manifest.Annotations = map[string]string{
		"io.containerd.image.name": imageName,
		v1.AnnotationRefName:       imageName[strings.LastIndex(imageName, ":")+1:],
	}
	blobs[v1.ImageIndexFile] = asJSON(v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageIndex,
		Manifests: []v1.Descriptor{manifest},
	})
	blobs[v1.ImageLayoutFile] = asJSON(v1.ImageLayout{Version: v1.ImageLayoutVersion})
	return writeTar(out, blobs)
}

func writeTar(out io.Writer, blobs map[string][]byte) error {
	names := make([]string, 0, len(blobs))
	for name := range blobs {
		names = append(names, name)
	}
	slices.Sort(names)
	w := tar.NewWriter(out)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(blobs[name]))}); err != nil {
			return err
		}
		if _, err := w.Write(blobs[name]); err != nil {
			return err
		}
	}
	return w.Close()
}
