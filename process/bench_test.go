// SPDX-License-Identifier: Apache-2.0

package process

import (
	"encoding/json"
	"testing"

	"github.com/containerd-mini/mini/integration/testenv"
)

// BenchmarkLife is a container from New to Delete, and an exec in one, without
// containerd: what the shim itself takes.
func BenchmarkLife(b *testing.B) {
	testenv.Root(b)
	r := &rig{TB: b, rootfs: testenv.Rootfs(b)}
	b.Run("container", func(b *testing.B) {
		r.TB = b
		dir := r.bundle(false, "exit 0")
		for b.Loop() {
			c, err := New(b.Context(), &Config{ID: "bench", Bundle: dir, Notify: r.notify(dir)})
			r.must(err)
			r.start(c.Init(), nil)
			r.wait(c.Init())
			_, err = c.Init().Delete(b.Context())
			r.must(err)
		}
	})
	b.Run("exec", func(b *testing.B) {
		r.TB = b
		c := r.create(Stdio{}, "sleep 1000")
		r.start(c.Init(), nil)
		spec, err := json.Marshal(execProcess("exit 0"))
		r.must(err)
		for b.Loop() {
			p := r.start(c.Exec(&ExecConfig{ID: "e", Spec: spec}))
			r.wait(p)
			_, err := p.Delete(b.Context())
			r.must(err)
		}
		r.must(c.Close(b.Context()))
	})
}
