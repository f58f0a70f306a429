// SPDX-License-Identifier: Apache-2.0

package criu

import (
	"os"
	"runtime"
)

// Kind is the type of a request (criu_req_type).
type Kind uint8

// Kinds of requests.
const (
	Dump        Kind = 1
	Restore     Kind = 2
	kindNotify  Kind = 6
	kindFeature Kind = 9
	kindVersion Kind = 10
)

// CgroupMode says what criu does about the cgroups of the processes (criu_cg_mode).
type CgroupMode uint8

// Modes, as `criu --manage-cgroups` names them.
const (
	CgroupIgnore  CgroupMode = 0 // nothing: the restored processes stay in criu's own cgroups
	CgroupSoft    CgroupMode = 3 // makes missing cgroups, with their settings in the image
	CgroupFull    CgroupMode = 4 // also sets existing cgroups
	CgroupStrict  CgroupMode = 5 // fails if a cgroup exists
	CgroupDefault CgroupMode = 6 // CgroupSoft
)

// Options are the options of a request. criu's rpc.proto has their numbers, criu(8) their
// meaning. Except for Cgroups, the zero value is criu's default.
type Options struct {
	Images  *os.File // directory of the images
	Work    *os.File // directory of the log and of temporary files; Images if nil
	LogFile string   // name in Work
	Pid     int      // dump: the root of the process tree
	Root    string   // restore: path of the root filesystem, a mount point

	LeaveRunning    bool // dump: the processes continue
	ExtUnixSockets  bool // allow sockets connected to processes outside
	TCPEstablished  bool // allow TCP connections
	EvasiveDevices  bool // restore: accept any path to the device of a file
	ShellJob        bool // allow a terminal or session of processes outside
	FileLocks       bool
	OrphanPTSMaster bool // allow a terminal whose master is outside; a notification has the new one
	RstSibling      bool // restore: the root process is a sibling of criu's
	TrackMem        bool // dump: track changes of memory for the next dump

	ParentImage  string // dump: path of an earlier dump's directory, relative to Images
	LSMProfile   string // restore: `apparmor:PROFILE` or `selinux:LABEL` in place of the dump's
	FreezeCgroup string // dump: path of the cgroup to freeze
	ConfigFile   string // a configuration of criu, which overrides these options
	EmptyNS      uint32 // CLONE_NEW* flags of namespaces whose content is left out
	Cgroups      CgroupMode

	Externals   []string  // dump: resources that are outside, `type[id]:name`
	Mounts      []Pair    // dump: mount point to name; restore: name to path outside
	CgroupRoots []Pair    // controllers ("" for cgroup2) to the path of the root cgroup
	Inherit     []Inherit // restore: the files for resources that are outside
	JoinNS      []Pair    // restore: kind of namespace to path
}

// Pair is a key with its value.
type Pair struct{ Key, Value string }

// Inherit is a file in place of the external resource that Key names.
type Inherit struct {
	Key  string
	File *os.File
}

// firstInherited is the descriptor of the first inherited file in criu, after its standard
// streams and the socket.
const firstInherited = 4

// encode returns criu_opts. The caller keeps Images and Work open until criu has answered.
func (o *Options) encode() (m message) {
	m.number(1, descriptor(o.Images))
	if o.Pid != 0 {
		m.number(2, int64(o.Pid))
	}
	m.flag(3, o.LeaveRunning)
	m.flag(4, o.ExtUnixSockets)
	m.flag(5, o.TCPEstablished)
	m.flag(6, o.EvasiveDevices)
	m.flag(7, o.ShellJob)
	m.flag(8, o.FileLocks)
	m.number(9, logLevel)
	m.text(10, o.LogFile)
	m.flag(12, true) // notify_scripts
	m.text(13, o.Root)
	m.text(14, o.ParentImage)
	m.flag(15, o.TrackMem)
	if o.Work != nil {
		m.number(17, descriptor(o.Work))
	}
	o.encodeLists(&m)
	m.flag(24, o.Cgroups != CgroupIgnore)
	m.flag(26, o.RstSibling)
	m.number(34, int64(o.Cgroups))
	if o.EmptyNS != 0 {
		m.number(38, int64(o.EmptyNS))
	}
	m.text(44, o.FreezeCgroup)
	m.flag(50, o.OrphanPTSMaster)
	m.text(51, o.ConfigFile)
	m.text(53, o.LSMProfile)
	return m
}

// logLevel makes criu log errors, warnings and progress: an error alone rarely says its
// cause.
const logLevel = 4

func (o *Options) encodeLists(m *message) {
	for _, p := range o.Mounts {
		m.message(23, p.encode())
	}
	for _, p := range o.CgroupRoots {
		m.message(25, p.encode())
	}
	for i, f := range o.Inherit {
		var sub message
		sub.text(1, f.Key)
		sub.number(2, int64(firstInherited+i))
		m.message(27, sub)
	}
	for _, e := range o.Externals {
		m.text(37, e)
	}
	for _, p := range o.JoinNS {
		m.message(39, p.encode())
	}
}

// encode returns ext_mount_map, cgroup_root or join_namespace, which have the same form.
func (p Pair) encode() (m message) {
	m.text(1, p.Key)
	m.text(2, p.Value)
	return m
}

func descriptor(f *os.File) int64 {
	fd := int64(f.Fd())
	runtime.KeepAlive(f)
	return fd
}

// request returns criu_req.
func request(kind Kind, o *Options) (m message) {
	m.number(1, int64(kind))
	if o != nil {
		m.message(2, o.encode())
	}
	return m
}

// proceed returns the answer to a notification.
func proceed() (m message) {
	m.number(1, int64(kindNotify))
	m.flag(3, true)
	return m
}
