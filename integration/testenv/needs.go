// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// vmEnv is set to the name of the security module in the virtual machine of
// `make test-vm`, where every Need of such a machine must be met.
const vmEnv = "MINI_VM"

// InVM reports whether the tests run in the virtual machine of `make test-vm`.
func InVM() bool { return os.Getenv(vmEnv) != "" }

// patienceEnv is how many times as long as an idle machine this one may take for
// everything: a number from 1 on.
const patienceEnv = "MINI_PATIENCE"

// vmPatience is that of the virtual machine, which is emulated.
const vmPatience = 8

// Patience is how long to wait for what takes at most d on a machine like any
// other. Only a test that fails waits for so long.
func Patience(d time.Duration) time.Duration {
	if f, err := strconv.ParseFloat(os.Getenv(patienceEnv), 64); err == nil && f >= 1 {
		return time.Duration(f * float64(d))
	}
	if InVM() {
		return vmPatience * d
	}
	return d
}

// Full reports whether to test every combination, as `make test-vm FULL=1` does,
// and not one of each kind.
func Full() bool { return os.Getenv("MINI_FULL") == "1" }

// Need is something that not every machine has, but the virtual machine does.
type Need struct {
	what     string
	missing  func() string // what of it, for humans; "" when all is there
	required bool
}

// Needs skips the test unless the machine has all that it needs. In the virtual
// machine, which was made to have it, it fails the test in place of skipping.
func Needs(t testing.TB, needs ...Need) {
	t.Helper()
	for _, n := range needs {
		missing := n.missing()
		switch {
		case missing == "":
		case n.required:
			t.Fatalf("the virtual machine has no %s %s", n.what, missing)
		default:
			t.Skipf("this machine has no %s %s: run it under `make test-vm RUN=%s`", n.what, missing, t.Name())
		}
	}
}

// Controllers is the need of cgroup v2 controllers, by the kernel's names.
func Controllers(names ...string) Need {
	return Need{what: "cgroup v2 controller", required: InVM(), missing: func() string {
		root, err := CgroupRoot()
		if err != nil {
			return err.Error()
		}
		data, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
		if err != nil {
			return err.Error()
		}
		have := strings.Fields(string(data))
		return strings.Join(slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			return slices.Contains(have, name)
		}), ", ")
	}}
}

// AppArmor is the need of AppArmor as the security module in charge.
func AppArmor() Need {
	return Need{what: "security module", required: os.Getenv(vmEnv) == "apparmor", missing: func() string {
		if data, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err == nil && data[0] == 'Y' {
			return ""
		}
		return "AppArmor"
	}}
}

// SELinux is the need of SELinux as the security module in charge.
func SELinux() Need {
	return Need{what: "security module", required: os.Getenv(vmEnv) == "selinux", missing: func() string {
		return absent("/sys/fs/selinux/enforce", "SELinux")
	}}
}

// Systemd is the need of systemd as the machine's init. It is met outside the
// bed only, which has a /run of its own.
func Systemd() Need {
	return Need{what: "init", required: InVM(), missing: func() string {
		return absent("/run/systemd/system", "systemd")
	}}
}

// Program is the need of a program in PATH, as criu.
func Program(name string) Need {
	return Need{what: "program", required: InVM(), missing: func() string {
		if _, err := exec.LookPath(name); err != nil {
			return name
		}
		return ""
	}}
}

// absent is the name when the file is not there.
func absent(path, name string) string {
	if _, err := os.Stat(path); err != nil {
		return name
	}
	return ""
}
