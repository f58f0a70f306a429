// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/godbus/dbus/v5"
)

// TestClassify checks which error an answer of systemd becomes, and whether the call is
// made once more.
func TestClassify(t *testing.T) {
	const bus = "org.freedesktop.DBus.Error."
	for _, c := range []struct {
		err   error
		is    error
		again bool
	}{
		{dbus.Error{Name: "org.freedesktop.systemd1.NoSuchUnit"}, errdefs.ErrNotFound, false},
		{dbus.Error{Name: "org.freedesktop.systemd1.UnitExists"}, errdefs.ErrAlreadyExists, false},
		{dbus.Error{Name: "org.freedesktop.systemd1.ShuttingDown"}, errdefs.ErrUnavailable, false},
		{dbus.Error{Name: "org.freedesktop.systemd1.UnitMasked"}, errdefs.ErrFailedPrecondition, false},
		{dbus.Error{Name: "System.Error.ENXIO"}, errdefs.ErrInvalidArgument, false},
		{dbus.Error{Name: bus + "PropertyReadOnly"}, errdefs.ErrInvalidArgument, false},
		{dbus.Error{Name: bus + "AccessDenied"}, errdefs.ErrPermissionDenied, false},
		{dbus.Error{Name: bus + "LimitsExceeded"}, errdefs.ErrUnavailable, true},
		{dbus.Error{Name: bus + "NoReply"}, errdefs.ErrUnavailable, true},
		{dbus.Error{Name: bus + "ServiceUnknown"}, errdefs.ErrUnavailable, true},
		{dbus.Error{Name: bus + "Spawn.ChildExited"}, nil, true},
		{dbus.Error{Name: "what.Nobody.Knows"}, nil, false},
		{dbus.ErrClosed, errdefs.ErrUnavailable, true},
		{fmt.Errorf("%w: %w", errNobody, errdefs.ErrUnavailable), errdefs.ErrUnavailable, false},
		{context.DeadlineExceeded, context.DeadlineExceeded, false},
	} {
		err := classify(c.err)
		if c.is != nil && !errors.Is(err, c.is) || interrupted(err) != c.again {
			t.Errorf("%v: %v, again %v", c.err, err, interrupted(err))
		}
	}
	if classify(nil) != nil || interrupted(nil) {
		t.Error("no error is one")
	}
}
