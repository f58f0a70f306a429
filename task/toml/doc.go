// SPDX-License-Identifier: Apache-2.0

// Package toml reads the runtime options that containerd's clients send as TOML:
// the verb `start` looks for ShimCgroup, and Create for all the others.
//
// The options are flat, so it reads that much of the language and refuses the rest.
// The decoder that containerd uses (pelletier/go-toml 2.2) would add 370 kB to the
// binary and 0.1 ms to each of its starts. Only light packages of the standard
// library may be imported: `start` imports this one.
package toml
