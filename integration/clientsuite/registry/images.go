// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"runtime"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// images are those that containerd's client suite pulls
// (containerd, integration/images), as far as a test looks at them.
func images(r rootfs) []image {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	shell := v1.ImageConfig{Env: env, Cmd: []string{"sh"}}
	pause := v1.ImageConfig{Env: env, Entrypoint: []string{"/bin/sleep", "inf"}, User: "65535:65535"}
	plain := func(p v1.Platform, mark string) [][]byte { return [][]byte{base(r, p, mark)} }
	windows := v1.Platform{OS: "windows", Architecture: "amd64", OSVersion: "10.0.17763.2114"}
	return []image{
		{name: "ghcr.io/containerd/busybox:1.36", types: dockerTypes, platforms: linux(), layers: plain, config: shell},
		{name: "ghcr.io/containerd/alpine:3.14.0", types: ociTypes, platforms: linux(), layers: plain, config: shell},
		{
			name: "registry.k8s.io/e2e-test-images/busybox:1.29-2", types: dockerTypes,
			platforms: append(linux(), windows), layers: plain, config: shell,
		},
		{name: "registry.k8s.io/pause:3.6", types: ociTypes, platforms: linux(), layers: plain, config: pause},
		{name: "registry.k8s.io/pause:3.10.2", types: ociTypes, platforms: linux(), layers: plain, config: pause},
		{
			name:      "ghcr.io/containerd/windows/nanoserver:1809",
			types:     ociTypes,
			platforms: []v1.Platform{windows},
			layers:    plain,
		},
		copyUp(r, env),
		ownership(r, env),
	}
}

// linux are the platforms of a usual image; a test asks for some of them.
func linux() []v1.Platform {
	return []v1.Platform{
		{OS: "linux", Architecture: "amd64"},
		{OS: "linux", Architecture: "arm", Variant: "v7"},
		{OS: "linux", Architecture: "arm64", Variant: "v8"},
		{OS: "linux", Architecture: "ppc64le"},
		{OS: "linux", Architecture: "s390x"},
	}
}

// native says whether containers of the platform can run here.
func native(p v1.Platform) bool { return p.OS == "linux" && p.Architecture == runtime.GOARCH }

// base is the first layer: busybox, or next to nothing on platforms whose
// programs cannot run here.
func base(r rootfs, p v1.Platform, mark string) []byte {
	if native(p) {
		return r.layer(mark)
	}
	return tree{{name: "etc/"}, {name: "etc/image", text: mark}}.tar()
}

// copyUp is containerd's integration/images/volume-copy-up: volumes with
// files, some with names that Windows would not take. It has several layers,
// which is what the suite wants it for.
func copyUp(r rootfs, env []string) image {
	return image{
		name: "ghcr.io/containerd/volume-copy-up:2.2", types: dockerTypes, platforms: linux(),
		layers: func(p v1.Platform, mark string) [][]byte {
			const text = "test_content\n"
			return [][]byte{
				base(r, p, mark),
				tree{{name: "test_dir/"}, {name: "test_dir/test_file", text: text}}.tar(),
				tree{{name: "C:/"}, {name: "C:/weird_test_dir/"}, {name: "C:/weird_test_dir/weird_test_file", text: text}}.tar(),
				tree{{name: ":colon_prefixed/"}, {name: ":colon_prefixed/colon_prefixed_file", text: text}}.tar(),
			}
		},
		config: v1.ImageConfig{
			Env: env, Cmd: []string{"sh"},
			Volumes: map[string]struct{}{"/test_dir": {}, "C:/weird_test_dir": {}, "/:colon_prefixed": {}},
		},
	}
}

// ownership is containerd's integration/images/volume-ownership, which is a
// whole distribution. The suite uses its bash, its setuid passwd, and that it
// knows the user 34.
func ownership(r rootfs, env []string) image {
	r.extra = tree{
		{name: "bin/bash", mode: 0o755, text: "#!/bin/sh\nexec /bin/sh \"$@\"\n"},
		{name: "usr/bin/passwd", mode: 0o4755, text: "#!/bin/sh\nexec /bin/false\n"},
	}
	return image{
		name: "ghcr.io/containerd/volume-ownership:2.1", types: dockerTypes, platforms: linux(),
		layers: func(p v1.Platform, mark string) [][]byte {
			return [][]byte{base(r, p, mark), tree{{name: "test_dir/", uid: 65534, gid: 65534}}.tar()}
		},
		config: v1.ImageConfig{Env: env, Cmd: []string{"bash"}, Volumes: map[string]struct{}{"/test_dir": {}}},
	}
}
