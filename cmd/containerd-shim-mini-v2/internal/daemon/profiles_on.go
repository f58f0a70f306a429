// SPDX-License-Identifier: Apache-2.0

//go:build pprof

package daemon

import (
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"time"

	"github.com/containerd/log"

	"github.com/containerd-mini/mini/linux/host"
)

// serveProfiles serves net/http/pprof on the debug socket, to our own user.
func serveProfiles(c *Config) error {
	if c.DebugSocket == "" {
		return nil
	}
	fd, err := host.Listen(c.DebugSocket)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), c.DebugSocket)
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", c.DebugSocket, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { log.L.WithError(server.Serve(l)).Warn("serve profiles") }()
	return nil
}
