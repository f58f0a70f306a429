// SPDX-License-Identifier: Apache-2.0

package netdev

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/sys"
)

// Check refuses what cannot be the name of a device (dev_valid_name in the kernel).
func Check(name string) error {
	forbidden := func(r rune) bool { return r == '/' || r == ':' || r == 0 || unicode.IsSpace(r) }
	if name == "" || name == "." || name == ".." || len(name) >= unix.IFNAMSIZ || strings.ContainsFunc(name, forbidden) {
		return fmt.Errorf("%q is no name of a network device", name)
	}
	return nil
}

// Moved holds the devices that Move moved.
type Moved struct {
	here, there     *conn
	hereNS, thereNS *os.File
	devices         []device
}

// device is one moved device.
type device struct {
	was   link // here
	is    link // there
	addrs []address
}

// Move moves devices of the calling thread's network namespace to ns, which stays the
// caller's. names maps the name of a device here to its name there: "" means the same
// name, %d in it a number that the kernel chooses. On an error all devices are back.
func Move(ns *os.File, names map[string]string) (_ *Moved, err error) {
	m := &Moved{thereNS: ns}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Undo())
		}
	}()
	if m.hereNS, err = sys.OpenProcLink(sys.ThreadAttr("ns"), "net", os.O_RDONLY); err != nil {
		return nil, err
	}
	if m.here, err = dial(); err != nil {
		return nil, err
	}
	if m.there, err = dialIn(ns); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := m.move(name, names[name]); err != nil {
			return nil, fmt.Errorf("move network device %s: %w", name, err)
		}
	}
	m.thereNS = nil // the caller's
	return m, nil
}

func (m *Moved) move(name, as string) error {
	if as == "" {
		as = name
	}
	d := device{}
	var err error
	if d.was, err = m.here.find(name); err != nil {
		return err
	}
	if d.addrs, err = m.here.addresses(d.was.index); err != nil {
		return fmt.Errorf("read its addresses: %w", err)
	}
	if !strings.Contains(as, "%d") {
		if err := m.there.free(as); err != nil {
			return fmt.Errorf("as %s: %w", as, err)
		}
	}
	at, perr := m.here.push(d.was.index, as, m.thereNS, d.was.index)
	// Even on an error the device may be there, if it could not get its name.
	moved, err := m.locate(&d, at)
	if moved {
		m.devices = append(m.devices, d)
	}
	if err = errors.Join(perr, err); err != nil {
		return fmt.Errorf("as %s: %w", as, err)
	}
	return settle(m.there, d.is.index, d.addrs, true)
}

// locate looks for a device in its new namespace, where it is to have the index, and
// reports whether it has moved.
func (m *Moved) locate(d *device, index int32) (moved bool, err error) {
	if _, err := m.here.at(d.was.index); err == nil {
		return false, nil
	}
	d.is, err = m.there.at(index)
	return err == nil, err
}

// settle gives a device its addresses, and sets it up.
func settle(c *conn, index int32, addrs []address, up bool) error {
	for i := range addrs {
		if err := c.add(index, &addrs[i]); err != nil {
			return fmt.Errorf("add an address: %w", err)
		}
	}
	if !up {
		return nil
	}
	if err := c.setUp(index); err != nil {
		return fmt.Errorf("set it up: %w", err)
	}
	return nil
}

// Undo moves the devices that are still there back, last first, and closes m.
func (m *Moved) Undo() error {
	var errs []error
	for _, d := range slices.Backward(m.devices) {
		if err := m.back(&d); err != nil {
			errs = append(errs, fmt.Errorf("take network device %s back: %w", d.was.name, err))
		}
	}
	m.devices = nil
	return errors.Join(append(errs, m.Close())...)
}

func (m *Moved) back(d *device) error {
	index, err := m.there.push(d.is.index, d.was.name, m.hereNS, d.was.index)
	if errors.Is(err, unix.ENODEV) {
		return nil // a hook took it
	}
	if err != nil {
		return err
	}
	return settle(m.here, index, d.addrs, d.was.up)
}

// Close leaves the devices where they are. It can be called again.
func (m *Moved) Close() error {
	var errs []error
	for _, c := range []*conn{m.here, m.there} {
		if c != nil {
			errs = append(errs, c.close())
		}
	}
	if m.hereNS != nil {
		errs = append(errs, m.hereNS.Close())
	}
	m.here, m.there, m.hereNS, m.devices = nil, nil, nil, nil
	return errors.Join(errs...)
}
