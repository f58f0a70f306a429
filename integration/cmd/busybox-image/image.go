// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	_ "crypto/sha256" // of the digests
	"encoding/json"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// images are what is written, all with the one layer.
var images = []struct {
	name   string
	config v1.ImageConfig
}{
	{"mini.test/busybox:latest", v1.ImageConfig{
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		Cmd: []string{"sh"},
	}},
	// What CRI runs first in a pod. It waits for its children, who may be the
	// pod's orphans, and has no way to end but a signal.
	{"mini.test/pause:latest", v1.ImageConfig{
		Env:        []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		Entrypoint: []string{"sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done"},
	}},
}

// layout is an OCI image layout that is being made.
type layout map[string][]byte

// add adds a blob.
func (l layout) add(mediaType string, data []byte) v1.Descriptor {
	d := v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	l[blobPath(d)] = data
	return d
}

// blobPath is where a layout has a blob.
func blobPath(d v1.Descriptor) string { return "blobs/sha256/" + d.Digest.Encoded() }

// addImage adds a manifest of one layer, with its name where ctr and CRI look for
// it.
func (l layout) addImage(name string, config v1.ImageConfig, layer v1.Descriptor) v1.Descriptor {
	platform := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	manifest := l.add(v1.MediaTypeImageManifest, asJSON(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageManifest,
		Config: l.add(v1.MediaTypeImageConfig, asJSON(v1.Image{
			Platform: platform,
			Config:   config,
			RootFS:   v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}},
		})),
		Layers: []v1.Descriptor{layer},
	}))
	manifest.Platform = &platform
	manifest.Annotations = map[string]string{
		"io.containerd.image.name": name,
		v1.AnnotationRefName:       name[strings.LastIndex(name, ":")+1:],
	}
	return manifest
}

// dockerImage is an entry of manifest.json, in which Docker looked before it knew
// of OCI layouts (25.0).
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// writeImages writes an OCI image layout of the images with one layer.
func writeImages(out io.Writer, data []byte) error {
	l := layout{}
	layer := l.add(v1.MediaTypeImageLayer, data)
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	var docker []dockerImage
	for _, image := range images {
		manifest := l.addImage(image.name, image.config, layer)
		index.Manifests = append(index.Manifests, manifest)
		var m v1.Manifest
		if err := json.Unmarshal(l[blobPath(manifest)], &m); err != nil {
			return err
		}
		docker = append(docker, dockerImage{blobPath(m.Config), []string{image.name}, []string{blobPath(layer)}})
	}
	l["manifest.json"] = asJSON(docker)
	l[v1.ImageIndexFile] = asJSON(index)
	l[v1.ImageLayoutFile] = asJSON(v1.ImageLayout{Version: v1.ImageLayoutVersion})
	return writeTar(out, l)
}

func asJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // the image-spec's own types always marshal
	}
	return data
}

func writeTar(out io.Writer, blobs layout) error {
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
