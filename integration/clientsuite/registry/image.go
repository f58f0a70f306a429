// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// image is an image of several platforms.
type image struct {
	name      string // host/name:tag
	types     mediaTypes
	platforms []v1.Platform
	// layers are the uncompressed tars of a platform's layers. The mark is
	// another text for each image and platform, and goes into a layer: the
	// suite looks which blobs a partial pull has fetched, so no two platforms
	// may share one.
	layers func(p v1.Platform, mark string) [][]byte
	config v1.ImageConfig
}

// mediaTypes of an image: registries have Docker's older ones as well as OCI's.
type mediaTypes struct{ index, manifest, config, layer string }

var (
	ociTypes = mediaTypes{
		v1.MediaTypeImageIndex, v1.MediaTypeImageManifest, v1.MediaTypeImageConfig, v1.MediaTypeImageLayerGzip,
	}
	dockerTypes = mediaTypes{
		"application/vnd.docker.distribution.manifest.list.v2+json",
		"application/vnd.docker.distribution.manifest.v2+json",
		"application/vnd.docker.container.image.v1+json",
		"application/vnd.docker.image.rootfs.diff.tar.gzip",
	}
)

// created is when every image says it was made, so that the same files give
// the same digests.
var created = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

// add stores the image under its name.
func (r *Registry) add(i image) error {
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: i.types.index}
	for _, p := range i.platforms {
		manifest, err := r.addPlatform(i, p)
		if err != nil {
			return err
		}
		index.Manifests = append(index.Manifests, manifest)
	}
	d, err := r.putJSON(i.types.index, index)
	r.tags[i.name] = d.Digest
	return err
}

// addPlatform stores the layers, the config and the manifest of one platform.
func (r *Registry) addPlatform(i image, p v1.Platform) (v1.Descriptor, error) {
	config := v1.Image{Created: &created, Platform: p, Config: i.config, RootFS: v1.RootFS{Type: "layers"}}
	manifest := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: i.types.manifest}
	mark := fmt.Sprintf("%s %s/%s/%s\n", i.name, p.OS, p.Architecture, p.Variant)
	for n, layer := range i.layers(p, mark) {
		compressed, err := compress(layer)
		if err != nil {
			return v1.Descriptor{}, err
		}
		manifest.Layers = append(manifest.Layers, r.put(i.types.layer, compressed))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(layer))
		config.History = append(config.History, v1.History{Created: &created, CreatedBy: fmt.Sprintf("layer %d", n)})
	}
	var err error
	if manifest.Config, err = r.putJSON(i.types.config, config); err != nil {
		return v1.Descriptor{}, err
	}
	d, err := r.putJSON(i.types.manifest, manifest)
	d.Platform = &p
	return d, err
}

func (r *Registry) put(mediaType string, data []byte) v1.Descriptor {
	d := digest.FromBytes(data)
	r.blobs[d] = blob{mediaType, data}
	return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func (r *Registry) putJSON(mediaType string, v any) (v1.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return r.put(mediaType, data), nil
}

func compress(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
