// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

func testRegistry(t *testing.T) *Registry {
	t.Helper()
	r, err := build(rootfs{busybox: []byte("a program"), applets: []string{"sh", "busybox", "nc"}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// get asks for a path of the registry that the host name stands for.
func get(t *testing.T, server *httptest.Server, host, path string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	if len(header) == 2 {
		req.Header.Set(header[0], header[1])
	}
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, data
}

// TestPull follows every image from its name to its layers, as a client does:
// each blob has the digest and the size that was promised.
func TestPull(t *testing.T) {
	r := testRegistry(t)
	server := httptest.NewServer(r)
	defer server.Close()
	for name := range r.tags {
		host, rest, _ := strings.Cut(name, "/")
		path, tag, _ := strings.Cut(rest, ":")
		fetch := func(kind string, d v1.Descriptor, into any) []byte {
			resp, data := get(t, server, host, "/v2/"+path+kind+d.Digest.String())
			if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != d.MediaType ||
				digest.FromBytes(data) != d.Digest || int64(len(data)) != d.Size {
				t.Fatalf("%s: %+v: status %s, %d bytes of %s", name, d, resp.Status, len(data), resp.Header.Get("Content-Type"))
			}
			if into != nil {
				if err := json.Unmarshal(data, into); err != nil {
					t.Fatal(err)
				}
			}
			return data
		}
		resp, data := get(t, server, host, "/v2/"+path+"/manifests/"+tag)
		got := resp.Header.Get("Docker-Content-Digest")
		if got != r.tags[name].String() || digest.FromBytes(data).String() != got {
			t.Fatalf("%s: digest %q, want %q", name, got, r.tags[name].String())
		}
		var index v1.Index
		if err := json.Unmarshal(data, &index); err != nil {
			t.Fatal(err)
		}
		for _, m := range index.Manifests {
			var manifest v1.Manifest
			var config v1.Image
			fetch("/manifests/", m, &manifest)
			fetch("/blobs/", manifest.Config, &config)
			if config.OS != m.Platform.OS || config.Architecture != m.Platform.Architecture {
				t.Errorf("%s: config of %s/%s for %+v", name, config.OS, config.Architecture, m.Platform)
			}
			for i, layer := range manifest.Layers {
				if got := digest.FromBytes(unzip(t, fetch("/blobs/", layer, nil))); got != config.RootFS.DiffIDs[i] {
					t.Errorf("%s: layer %d is %s, the config says %s", name, i, got, config.RootFS.DiffIDs[i])
				}
			}
		}
	}
	if missing := r.Missing(); len(missing) > 0 {
		t.Errorf("not answered: %q", missing)
	}
}

// TestDigests: the same files give the same images; no two platforms share a
// manifest.
func TestDigests(t *testing.T) {
	one, two := testRegistry(t), testRegistry(t)
	if !maps.Equal(one.tags, two.tags) {
		t.Errorf("images of the same files differ: %v, %v", one.tags, two.tags)
	}
	var all []digest.Digest
	for _, d := range one.tags {
		var index v1.Index
		if err := json.Unmarshal(one.blobs[d].data, &index); err != nil {
			t.Fatal(err)
		}
		for _, m := range index.Manifests {
			all = append(all, m.Digest)
		}
	}
	count := len(all)
	slices.Sort(all)
	if len(slices.Compact(all)) != count {
		t.Errorf("%d manifests, not all different", count)
	}
}

// TestAnswers: what is not a pull, or not there, is refused and remembered; a
// part of a blob can be asked for.
func TestAnswers(t *testing.T) {
	r := testRegistry(t)
	server := httptest.NewServer(r)
	defer server.Close()
	for path, want := range map[string]int{
		"/v2/":                            http.StatusOK,
		"/v2/no/such/manifests/latest":    http.StatusNotFound,
		"/v2/no/such/blobs/sha256:00":     http.StatusNotFound,
		"/v2/containerd/busybox/tags/all": http.StatusNotFound,
		"/v1/":                            http.StatusMethodNotAllowed,
	} {
		if resp, _ := get(t, server, "ghcr.io", path); resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, resp.Status, want)
		}
	}
	if missing := r.Missing(); len(missing) != 4 {
		t.Errorf("remembered: %q, want 4", missing)
	}
	resp, data := get(t, server, "ghcr.io", "/v2/containerd/busybox/manifests/1.36", "Range", "bytes=0-0")
	if resp.StatusCode != http.StatusPartialContent || string(data) != "{" {
		t.Errorf("the first byte: %s, %q", resp.Status, data)
	}
	// Another host's image of that name is another image.
	resp, _ = get(t, server, "registry.k8s.io", "/v2/containerd/busybox/manifests/1.36")
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("of another host: %s", resp.Status)
	}
}

// TestCertificate: who trusts the authority trusts the server, under the names
// that it was made for only.
func TestCertificate(t *testing.T) {
	hosts := testRegistry(t).Hosts()
	if !slices.Equal(hosts, []string{"ghcr.io", "registry.k8s.io"}) {
		t.Errorf("hosts: %q", hosts)
	}
	ca, certificate, err := certify(hosts)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("the authority is not PEM")
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	defer server.Close()
	for name, want := range map[string]bool{"ghcr.io": true, "registry.k8s.io": true, "docker.io": false} {
		conn, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{RootCAs: pool, ServerName: name})
		if (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// TestRootfs looks at the files that tests of the suite rely on.
func TestRootfs(t *testing.T) {
	layer := rootfs{busybox: []byte("a program"), applets: []string{"sh", "nc"}}.layer("mark")
	got := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(layer)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Nanosecond() == 0 {
			t.Errorf("%s: of %v, which has no nanoseconds", h.Name, h.ModTime)
		}
		got[h.Name] = string(h.Typeflag) + " " + h.FileInfo().Mode().String() + " " + h.Linkname
	}
	for name, want := range map[string]string{
		"bin/busybox": "0 -rwxr-xr-x ", "bin/sh": "1 -rwxr-xr-x bin/busybox", "bin/nc": "0 -rwxr-xr-x ",
		"etc/passwd": "0 -rw-r--r-- ", "root/": "5 drwx------ ", "tmp/": "5 dtrwxrwxrwx ",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
}

func unzip(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
