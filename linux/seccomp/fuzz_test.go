// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/integration/testenv/bpfvm"
)

// FuzzCompile compiles arbitrary sections. Each must give an error about the section, or a
// program whose verdicts are the section's.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"],"syscalls":[{"names":["socket","clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2114060288,"op":"SCMP_CMP_MASKED_EQ"},{"index":1,"value":5,"op":"SCMP_CMP_NE"}]}]}`,
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["personality"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":8,"op":"SCMP_CMP_EQ"},{"index":0,"value":9,"op":"SCMP_CMP_GT"}]}]}`,
		`{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["ioctl"],"action":"SCMP_ACT_TRACE","errnoRet":7,"args":[{"index":5,"value":4294967296,"op":"SCMP_CMP_LE"}]},{"names":["ioctl","ipc"],"action":"SCMP_ACT_TRAP"}]}`,
	} {
		f.Add([]byte(seed), uint32(41), uint64(8), uint64(1)<<32)
	}
	f.Fuzz(func(t *testing.T, text []byte, nr uint32, a, b uint64) {
		var s specs.LinuxSeccomp
		if json.Unmarshal(text, &s) != nil || len(text) > 1<<14 {
			return
		}
		for goarch, audits := range map[string][]uint32{
			"amd64": {unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386},
			"arm64": {unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM},
		} {
			c, err := CompileFor(goarch, &s)
			if err != nil && !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Fatal(err)
			}
			if c == nil {
				continue
			}
			for _, audit := range audits {
				for _, n := range []uint32{nr, nr | x32Bit, 0, ^uint32(0)} {
					agree(t, &s, c, goarch, bpfvm.Data{Nr: n, Arch: audit, Args: [6]uint64{a, b, a, b, a, b}})
				}
			}
		}
	})
}
