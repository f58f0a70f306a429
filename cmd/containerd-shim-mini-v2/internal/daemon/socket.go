// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/containerd/log"

	"github.com/containerd-mini/mini/cmd/containerd-shim-mini-v2/internal/launch"
	"github.com/containerd-mini/mini/linux/host"
)

// socket is the listener. remove closes it and removes its file.
type socket struct {
	net.Listener
	once sync.Once
}

func listen(path string) (*socket, error) {
	fd := inherited
	var err error
	switch {
	case path != "":
		fd, err = host.Listen(path)
	case !host.Listens(fd):
		err = takeOver(fd)
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("listen on descriptor %d: %w", fd, err)
	}
	if l.Addr().Network() != "unix" {
		l.Close()
		return nil, fmt.Errorf("listen on descriptor %d: not a unix socket", fd)
	}
	return &socket{Listener: l}, nil
}

// takeOver has the socket listen in the place of `start`, which was killed or is
// slower than we are. Where containerd has removed the bundle meanwhile, nobody
// needs us.
func takeOver(fd int) error {
	address, err := os.ReadFile(launch.AddressFile)
	if err != nil {
		return fmt.Errorf("listen in place of start: %w", err)
	}
	path, ok := strings.CutPrefix(string(address), "unix://")
	if !ok {
		return fmt.Errorf("listen on descriptor %d: %w", fd, os.ErrInvalid)
	}
	return host.ListenOn(fd, path)
}

// remove closes the socket and then removes its file: a `start` that comes in
// between replaces the file, and RemoveDead leaves one alone on which somebody
// listens.
func (s *socket) remove() {
	s.once.Do(func() {
		path := s.Addr().String()
		s.Close()
		if !strings.HasPrefix(path, "/") {
			return
		}
		if err := host.RemoveDead(path); err != nil {
			log.L.WithError(err).Warn("remove socket")
		}
	})
}
