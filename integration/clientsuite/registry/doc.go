// SPDX-License-Identifier: Apache-2.0

// Package registry serves images on the loopback device, over TLS, under the
// names that they have on the internet, so that a test that pulls
// "ghcr.io/containerd/busybox:1.36" does so without a network.
//
// The images are stand-ins, made in memory of the machine's static busybox:
// Images lists them. The same busybox gives the same digests. A client needs
// three things to take this registry for the real one: the hosts in its hosts
// file at 127.0.0.1, port 443 of that address in its network namespace, and
// the certificate authority, which is made anew at each start.
package registry
