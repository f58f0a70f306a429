// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// address is where clients look for the registry of a host name.
const address = "127.0.0.1:443"

// blob is a manifest or a layer, or what else has a digest.
type blob struct {
	mediaType string
	data      []byte
}

// Registry serves its images until Close.
type Registry struct {
	// CA is the certificate of the authority that vouches for the registry,
	// as PEM.
	CA []byte

	blobs  map[digest.Digest]blob
	tags   map[string]digest.Digest // host/name:tag
	server *http.Server

	mu sync.Mutex
	// missing are the requests that were not answered; guarded by mu.
	missing []string
}

// Start serves the images, made of a static busybox and the names of its
// applets.
func Start(busybox []byte, applets []string) (*Registry, error) {
	r, err := build(rootfs{busybox: busybox, applets: applets})
	if err != nil {
		return nil, err
	}
	ca, certificate, err := certify(r.Hosts())
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	r.CA = ca
	r.server = &http.Server{
		Handler:     r,
		TLSConfig:   &tls.Config{Certificates: []tls.Certificate{certificate}},
		ReadTimeout: time.Minute,
		ErrorLog:    log.New(unanswered{r}, "", 0),
	}
	go func() {
		if err := r.server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			r.note(err.Error())
		}
	}()
	return r, nil
}

// build is a registry that has the images and does not serve them yet.
func build(files rootfs) (*Registry, error) {
	r := &Registry{blobs: map[digest.Digest]blob{}, tags: map[string]digest.Digest{}}
	for _, i := range images(files) {
		if err := r.add(i); err != nil {
			return nil, fmt.Errorf("image %s: %w", i.name, err)
		}
	}
	return r, nil
}

// Close ends the registry.
func (r *Registry) Close() error { return r.server.Close() }

// Hosts are the registries that this one stands in for.
func (r *Registry) Hosts() []string {
	var hosts []string
	for name := range r.tags {
		host, _, _ := strings.Cut(name, "/")
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// Missing lists what clients have asked for in vain, and how else they have
// failed.
func (r *Registry) Missing() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.missing)
}

func (r *Registry) note(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.missing = append(r.missing, strings.TrimSpace(line))
}

// unanswered is the server's log.
type unanswered struct{ r *Registry }

func (u unanswered) Write(line []byte) (int, error) {
	u.r.note(string(line))
	return len(line), nil
}

// ServeHTTP is the part of the distribution specification that a pull needs:
// GET and HEAD of /v2/, of manifests and of blobs.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	path, ok := strings.CutPrefix(req.URL.Path, "/v2/")
	if !ok || req.Method != http.MethodGet && req.Method != http.MethodHead {
		r.note(req.Method + " " + req.Host + req.URL.Path)
		http.Error(w, "this registry is for pulls", http.StatusMethodNotAllowed)
		return
	}
	if path == "" {
		w.WriteHeader(http.StatusOK)
		return
	}
	id := r.find(req.Host, path)
	found, ok := r.blobs[id]
	if !ok {
		r.note(req.Method + " " + req.Host + req.URL.Path)
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Content-Type", found.mediaType)
	w.Header().Set("Docker-Content-Digest", id.String())
	w.Header().Set("Etag", `"`+id.String()+`"`)
	// It answers requests for a range as well: the suite pulls in chunks.
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(found.data))
}

// find is the digest of what is at NAME/manifests/TAG, NAME/manifests/DIGEST
// or NAME/blobs/DIGEST.
func (r *Registry) find(host, path string) digest.Digest {
	if name, ref, ok := strings.Cut(path, "/manifests/"); ok && !strings.Contains(ref, ":") {
		return r.tags[host+"/"+name+":"+ref]
	}
	return digest.Digest(path[strings.LastIndexByte(path, '/')+1:])
}
