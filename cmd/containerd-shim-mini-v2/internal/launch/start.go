// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/containerd-mini/mini/cmd/containerd-shim-mini-v2/internal/bootstrap"
	"github.com/containerd-mini/mini/linux/fault"
	"github.com/containerd-mini/mini/linux/host"
)

// defaultSocketDir is where containerd and its shims keep sockets when nothing
// else is said; a bound path may not be longer than 106 bytes.
const defaultSocketDir = "/run/containerd/s"

// AddressFile holds, in a bundle, the address of the shim that serves it.
const AddressFile = "address"

// maxInput bounds what is read from standard input.
const maxInput = 10 << 20

// daemonProcs is GOMAXPROCS of the daemon while it starts and makes its first
// container, which are better done on two processors; afterwards it takes one
// (package daemon, memory.go).
const daemonProcs = "2"

// start is the verb `start`: it reads containerd's parameters from standard
// input and returns what to print on standard output. The working directory is
// the bundle. It changes its own process (see the package comment), which is
// expected to end.
func start(f *Flags, stdin io.Reader) ([]byte, error) {
	if err := host.CheckKernel(); err != nil {
		return nil, err
	}
	input, err := io.ReadAll(io.LimitReader(stdin, maxInput))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	p, err := bootstrap.Read(input, f.ID, f.Namespace)
	if err != nil {
		return nil, err
	}
	if p.Legacy {
		p.GRPCAddress = f.Address
	}
	name, err := group("config.json", f.ID)
	if err != nil {
		return nil, err
	}
	path := socketPath(p, name)
	address := "unix://" + path
	// Before there is a daemon, which takes the processor from us.
	if err := os.WriteFile(AddressFile, []byte(address), 0o600); err != nil {
		return nil, err
	}
	fault.Point("launch.addressed")
	if err := serve(f, p, path); err != nil {
		return nil, errors.Join(err, os.Remove(AddressFile))
	}
	return p.Answer(address, os.Getenv("MAX_SHIM_VERSION")), nil
}

// socketPath names the socket of a group in a namespace of a containerd, which
// has to be short whatever these are.
func socketPath(p *bootstrap.Params, group string) string {
	dir := p.SocketDir
	if dir == "" {
		dir = defaultSocketDir
	}
	sum := sha256Sum([]byte(p.GRPCAddress + "/" + p.Namespace + "/" + group))
	return fmt.Sprintf("%s/%x", strings.TrimRight(dir, "/"), sum)
}

// serve sees to it that a shim listens at path. It leaves descriptors open, for
// the process is about to end.
//
// The socket gets its name when the daemon has it already: containerd does not
// call `delete` for a `start` that was killed, so nobody would remove the file.
func serve(f *Flags, p *bootstrap.Params, path string) error {
	if answers, err := host.Answers(path); err != nil || answers {
		return err
	}
	if err := settle(p); err != nil {
		return err
	}
	image, err := host.Seal()
	if err != nil {
		return err
	}
	fd, err := host.NewSocket()
	if err != nil {
		return err
	}
	d := host.Daemon{Image: image, Args: daemonArgs(f, p), Env: daemonEnv(p), Log: "log", Socket: fd}
	fault.Point("launch.sealed")
	pid, err := d.Start()
	if err != nil {
		return err
	}
	fault.Point("launch.spawned")
	err = host.ListenOn(fd, path)
	fault.Point("launch.listening")
	if err == nil {
		return nil
	}
	syscall.Close(fd)
	err = errors.Join(err, stop(pid), host.RemoveDead(path))
	if errors.Is(err, host.ErrInUse) {
		return nil // another `start` of the group was quicker
	}
	return err
}

// stop ends a daemon that has nothing to do yet.
func stop(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return os.NewSyscallError("kill", err)
	}
	for {
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != syscall.EINTR {
			return os.NewSyscallError("wait4", err)
		}
	}
}

// settle gives this process what the daemon is to inherit.
func settle(p *bootstrap.Params) error {
	cgroup, err := p.ShimCgroup()
	if err != nil {
		return err
	}
	if cgroup != "" {
		if err := host.JoinCgroup(cgroup); err != nil {
			return err
		}
	}
	if os.Getenv("SCHED_CORE") != "" {
		if err := host.NewCoreCookie(); err != nil {
			return err
		}
	}
	return host.FollowParentOOMScore()
}

func daemonArgs(f *Flags, p *bootstrap.Params) []string {
	args := []string{os.Args[0], "-namespace", p.Namespace, "-id", p.ID, "-address", p.GRPCAddress}
	if f.Debug || p.LogLevel <= -4 {
		args = append(args, "-debug")
	}
	return args
}

// daemonEnv is this process's environment with the daemon's own settings.
func daemonEnv(p *bootstrap.Params) []string {
	env := setEnv(os.Environ(), "GOMAXPROCS", daemonProcs)
	if p.TTRPCAddress != "" {
		env = setEnv(env, "TTRPC_ADDRESS", p.TTRPCAddress)
	}
	return env
}

// setEnv replaces a variable: of two entries with one name, the Go runtime takes
// the first.
func setEnv(env []string, name, value string) []string {
	entry := name + "=" + value
	for i, e := range env {
		if strings.HasPrefix(e, name+"=") {
			env[i] = entry
			return env
		}
	}
	return append(env, entry)
}
