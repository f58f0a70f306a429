// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/containerd-mini/mini/linux/fork"
	"github.com/containerd-mini/mini/linux/sys"
)

// lsm is what the child tells the kernel's security modules about the program it
// will be: process.apparmorProfile and process.selinuxLabel.
//
// The files for that are opened in the host's procfs, before the container's is in
// reach, so that nothing mounted there takes the label in the kernel's place
// (CVE-2019-16884, CVE-2021-30465). A process may only write its own: the shim
// cannot do it for the child.
type lsm struct {
	profile  string // AppArmor
	label    string // SELinux
	stacked  bool   // the kernel has AppArmor's own directory, beside the one all modules share
	keyring  bool   // the session keyring is to have the label, too
	exec     *fork.Reg
	apparmor *fork.Reg
	keys     *fork.Reg
}

func newLSM(p *specs.Process, keyring bool) lsm {
	l := lsm{profile: p.ApparmorProfile, label: p.SelinuxLabel}
	l.keyring = keyring && l.label != ""
	l.stacked = l.profile != "" && hasAppArmorDir()
	return l
}

// open opens the attributes, while the process still has the host's procfs. It
// comes after the last clone: the kernel refuses a file that another memory opened.
func (l *lsm) open(p *fork.Program, proc *os.File) {
	if l.profile != "" {
		file := "self/attr/exec"
		if l.stacked {
			file = "self/attr/apparmor/exec"
		}
		l.apparmor = openAttr(p, proc, file)
	}
	if l.label != "" {
		l.exec = openAttr(p, proc, "self/attr/exec")
	}
	if l.keyring {
		l.keys = openAttr(p, proc, "self/attr/keycreate")
	}
}

func openAttr(p *fork.Program, proc *os.File, file string) *fork.Reg {
	fd := p.NewReg()
	p.Add(fork.Step{For: "open /proc/" + file, NR: unix.SYS_OPENAT, Args: []fork.Arg{fork.FD(proc.Fd(), "proc"), fork.Str(file), fork.Open(unix.O_WRONLY | unix.O_CLOEXEC)}, Out: fd})
	return fd
}

// labelKeys gives the keys that are made from here to the execve the label.
func (l *lsm) labelKeys(p *fork.Program) {
	if l.keyring {
		writeAttr(p, "label keyrings "+l.label, l.keys, l.label)
	}
}

// onExec has the next execve change to the profile and the label. It comes before
// no_new_privs, after which a confined process may not ask for another profile.
func (l *lsm) onExec(p *fork.Program) {
	if l.profile != "" {
		writeAttr(p, "apply AppArmor profile "+l.profile, l.apparmor, "exec "+l.profile)
	}
	if l.label != "" {
		writeAttr(p, "apply SELinux label "+l.label, l.exec, l.label)
	}
}

func writeAttr(p *fork.Program, what string, fd *fork.Reg, value string) {
	p.Call(what, unix.SYS_WRITE, fork.Ref(fd), fork.Str(value), fork.Int(len(value)))
	p.Call(what, unix.SYS_CLOSE, fork.Ref(fd))
}

// checkLSM refuses what no kernel could do, and what this one cannot.
func checkLSM(field string, p *specs.Process) error {
	switch {
	case strings.ContainsAny(p.ApparmorProfile, "\x00\n") || len(p.ApparmorProfile) > maxAttr:
		return invalid(field+".apparmorProfile", "%q is no name of a profile", p.ApparmorProfile)
	case strings.ContainsAny(p.SelinuxLabel, "\x00\n") || len(p.SelinuxLabel) > maxAttr:
		return invalid(field+".selinuxLabel", "%q is no label", p.SelinuxLabel)
	case p.ApparmorProfile != "" && !appArmorOn():
		return notImplemented(field+".apparmorProfile", "%s: AppArmor is not on in this kernel", p.ApparmorProfile)
	case p.SelinuxLabel != "" && !selinuxOn():
		return notImplemented(field+".selinuxLabel", "%s: SELinux is not on in this kernel", p.SelinuxLabel)
	}
	return nil
}

// maxAttr bounds what is written to an attribute: a page of at least 4 KiB.
const maxAttr = 4000

// checkMountLabel is checkLSM for linux.mountLabel. A double quote would end the
// value early where it goes through mount(2).
func checkMountLabel(label string) error {
	switch {
	case strings.ContainsAny(label, "\x00\n\""):
		return invalid("linux.mountLabel", "%q is no label", label)
	case label != "" && !selinuxOn():
		return notImplemented("linux.mountLabel", "%s: SELinux is not on in this kernel", label)
	}
	return nil
}

// appArmorOn reports whether AppArmor is compiled in and was not turned off at boot.
var appArmorOn = sync.OnceValue(func() bool {
	b, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && bytes.HasPrefix(b, []byte("Y"))
})

// hasAppArmorDir reports whether the kernel keeps AppArmor's attributes apart from
// those of the module that /proc/PID/attr itself belongs to, which is another one
// where several are stacked (Linux 5.8, Documentation/security/lsm.rst).
var hasAppArmorDir = sync.OnceValue(func() bool {
	d, err := sys.OpenProc("self/attr/apparmor", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return false
	}
	_ = d.Close() // O_PATH
	return true
})

// selinuxOn reports whether SELinux was on at boot: it registers its filesystem then
// only (security/selinux/selinuxfs.c), wherever that is mounted. Until a policy is
// loaded everything has the label "kernel", and no other can be given.
var selinuxOn = sync.OnceValue(func() bool {
	b, err := sys.ReadProc("filesystems")
	if err != nil || !slices.Contains(strings.Fields(string(b)), "selinuxfs") {
		return false
	}
	own, err := sys.ReadProc("self/attr/current")
	return err == nil && string(bytes.TrimRight(own, "\x00\n")) != "kernel"
})
