// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd-mini/mini/integration/clientsuite/registry"
)

// Inside the bed, /run is an empty tmpfs. What the suite needs is bound there,
// since it gets a /tmp and /var/lib of its own, which hide the repository if it
// is below one of them.
const (
	inside = "/run/clientsuite"
	binDir = inside + "/bin"
	logDir = inside + "/log"
	caFile = inside + "/ca.pem"
)

// scratch are the directories that containerd or a test writes to. In memory:
// they go with the bed. Devices and setuid work on them, since the containers'
// root file systems are there.
var scratch = map[string]string{"/tmp": "mode=1777", "/var/lib": "mode=755", "/opt": "mode=755"}

// surround makes the mounts of the package comment, and the registry.
func surround(o options) (*registry.Registry, error) {
	if err := os.RemoveAll(o.log); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.log, 0o755); err != nil {
		return nil, err
	}
	for place, dir := range map[string]string{binDir: o.dir, logDir: o.log} {
		if err := os.MkdirAll(place, 0o755); err != nil {
			return nil, err
		}
		if err := mount(dir, place, "", syscall.MS_BIND, ""); err != nil {
			return nil, err
		}
	}
	reg, err := startRegistry()
	if err != nil {
		return nil, err
	}
	if err := surroundWith(reg); err != nil {
		reg.Close()
		return nil, err
	}
	return reg, nil
}

func surroundWith(reg *registry.Registry) error {
	for dir, mode := range scratch {
		if err := mount("clientsuite", dir, "tmpfs", 0, mode); err != nil {
			return err
		}
	}
	// The machine's own containerd may have a configuration, which the
	// default one of the suite's daemons would import.
	if _, err := os.Stat("/etc/containerd"); err == nil {
		if err := mount("clientsuite", "/etc/containerd", "tmpfs", 0, ""); err != nil {
			return err
		}
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	files := map[string]string{
		"hosts":       fmt.Sprintf("127.0.0.1 localhost %s %s\n", host, strings.Join(reg.Hosts(), " ")),
		"resolv.conf": "", // nobody to ask: a name that is not above fails at once
	}
	for name, text := range files {
		path := filepath.Join(inside, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
		if err := mount(path, "/etc/"+name, "", syscall.MS_BIND, ""); err != nil {
			return err
		}
	}
	return os.WriteFile(caFile, reg.CA, 0o644)
}

// startRegistry serves the images, made of the machine's busybox.
func startRegistry() (*registry.Registry, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("%w: install busybox-static", err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	applets, err := exec.Command(path, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --list: %w", path, err)
	}
	return registry.Start(program, strings.Fields(string(applets)))
}

func mount(source, target, fstype string, flags uintptr, data string) error {
	if err := syscall.Mount(source, target, fstype, flags, data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
	return nil
}
