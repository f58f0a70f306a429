// SPDX-License-Identifier: Apache-2.0

// Package oci reads a bundle's config.json.
//
// encoding/json inspects a type, and all types in it, on first use, and caches the result.
// The sections of other systems (windows, solaris, vm, zos, freebsd) are a third of the
// specification's types. A shim would pay for them at each start, in time and in memory
// that it never frees, without any use. So they are left out: to a runtime for Linux they
// are unknown properties, which are ignored (config.md, "Extensibility").
package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// linuxSpec is specs.Spec without the sections of other systems. A test compares the two.
type linuxSpec struct {
	Version     string            `json:"ociVersion"`
	Process     *specs.Process    `json:"process,omitempty"`
	Root        *specs.Root       `json:"root,omitempty"`
	Hostname    string            `json:"hostname,omitempty"`
	Domainname  string            `json:"domainname,omitempty"`
	Mounts      []specs.Mount     `json:"mounts,omitempty"`
	Hooks       *specs.Hooks      `json:"hooks,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Linux       *specs.Linux      `json:"linux,omitempty"`
}

// maxSize bounds a config.json, in bytes. containerd takes no message, and so no
// specification, that is larger (defaults.DefaultMaxRecvMsgSize).
const maxSize = 16 << 20

// ErrTooLarge says that a config.json has more than maxSize bytes.
var ErrTooLarge = errors.New("larger than 16 MiB")

// Read returns the text of a config.json.
func Read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxSize {
		return nil, fmt.Errorf("%s: %d bytes: %w", file, info.Size(), ErrTooLarge)
	}
	text := make([]byte, info.Size())
	_, err = io.ReadFull(f, text)
	return text, err
}

// Decode decodes a config.json. Its errors are those of encoding/json.
func Decode(data []byte) (*specs.Spec, error) {
	var s linuxSpec
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	return &specs.Spec{
		Version:     s.Version,
		Process:     s.Process,
		Root:        s.Root,
		Hostname:    s.Hostname,
		Domainname:  s.Domainname,
		Mounts:      s.Mounts,
		Hooks:       s.Hooks,
		Annotations: s.Annotations,
		Linux:       s.Linux,
	}, nil
}
