// SPDX-License-Identifier: Apache-2.0

// Package linux turns an OCI specification into a running process, and back into
// nothing. It knows the kernel and the specification; it does not know containerd.
//
// # Create
//
//	validate.go     what the specification forbids or mini does not do, by field name
//	limits.go                what is longer than the kernel takes, likewise
//	create.go       open     namespaces to join, null device, procfs: all that is the host's
//	netns.go                 a new network namespace, made beside all that follows
//	group.go        group    the cgroup, with its limits; then Record, before any process exists
//	scope.go                 the same through systemd, with a placeholder in it until there is init;
//	guard.go                 a file of it that systemd would take back
//	                prepare  mounts, and the pair of sockets
//	initplan.go     program  the specification as init's list of system calls (package fork)
//	build.go        clone    clone3 into the cgroup and the new namespaces (spawn.go)
//	procfs.go                a procfs of a pid namespace that is joined
//	newidmap.go              the id maps of a new user namespace
//	attach.go       attach   a thread in the container's namespaces puts the root together,
//	                         while init makes the superblocks that must belong to it
//	copyup.go                a child in the cgroup copies what tmpcopyup asks for
//	createhook.go   hooks    network devices; prestart, createRuntime, createContainer; then sysctls
//	                         and pivot_root
//	null.go                  init: the container's /dev/null, for streams that nobody asked for;
//	identity.go              streams, limits, user, capabilities, working directory;
//	affinity.go              its CPUs
//	scheduler.go             its CPU and I/O policy; memorypolicy.go, personality.go
//	lsm.go, keyring.go       its AppArmor profile, SELinux label and session keyring
//	home.go                  init: reads /etc/passwd for HOME, as root
//	command.go               init: looks its command up, as its user
//	gate.go                  init: waits at its socket for Start
//	park.go         settle   the placeholder of a scope goes
//	seccomp.go               init: installs the filter, the last thing but execve
//
// The messages between the shim and init are drawn above their constants in
// initplan.go. What fails is undone in reverse order (maker.undo), and the first
// cause is the error: a step of init's is named by Program.What.
//
// Exec (exec.go, execplan.go, execbirth.go) is the same machine: one setns through
// init's pidfd in place of the namespaces, then the same identity. tree.go says what
// belongs to an exec, for its kill; kill.go what belongs to the container.
//
// # Forerunners
//
// A process of the container may hold CAP_SYS_PTRACE over whatever comes into its pid
// namespace. So an exec is not born there by the shim. Its forerunner (forerunner.go) is
// born in the shim's pid namespace, where the container does not see it, and clones the
// exec when it has nothing of the host any more:
//
//	forerunner                        exec                   shim
//	  enters the namespaces
//	  --- 'H' + /etc/passwd -------------------------------->
//	  takes the identity on
//	  closes all but streams, socket
//	  --- clone ------------------->
//	  --- 'P' + pid + pidfd -------------------------------->
//	  --- pipe -------------------->
//	  exits                           <-- 'P' + HOME ---------
//	                                  setsid, terminal
//	                                  execve
//
// The exec is born with the container's root, namespaces, working directory, user,
// capabilities, limits and, where the filter allows what is still to come, seccomp
// filter. Without no_new_privs and with a filter that forbids one of clone, sendmsg,
// exit_group, read, write, close, recvfrom, setsid, ioctl(TIOCSCTTY), prlimit64 and
// capset, or that has an action NOTIFY, it has CAP_SYS_ADMIN until it has installed
// its filter itself: then who has CAP_SYS_PTRACE in its container can come by that. A
// process with a deadline, or whose scheduling policy ends at a fork, has CAP_SYS_NICE
// for a moment alike.
//
// An init that joins a pid namespace, as in a pod with shareProcessNamespace, is born in
// the same way, when its root is in place. Its forerunner is then the process that makes
// namespaces and file systems, and that the hooks of Create have the pid of. The new
// namespaces are made without a clone (namespaces.unshared), for a child would be in the
// joined pid namespace. Until Start such an init has CAP_SYS_ADMIN if its filter is of those
// above, or forbids sendto. createContainer hooks, which have the host's mounts by design, stay out of a
// joined pid namespace (maker.hookNamespaces). A restore into one is refused where somebody
// may have that capability (tracer.go).
//
// All execs go this way, those in a user namespace too: who shares the pid namespace
// need not share that. It costs a second process: BenchmarkExec takes 3.1 ms, and took
// 2.1 before (medians of five runs, interleaved, Linux 6.18, 2 cores, HOME looked up in
// both); through containerd an exec takes 0.28 of runc's. For that moment two processes count against pids.max; where
// there is place for one, the forerunner leaves the cgroup first (room.go).
//
// # Files of a container
//
// A container can put a file system whose server does not answer wherever it likes. Who
// opens a file there, asks what it is, or closes it waits, and after a while not even
// SIGKILL ends that. So the shim's threads keep away from the files of a container that
// runs:
//
//	exec         its own process reads /etc/passwd (home.go), opens its terminal and looks
//	             at it (terminal.go), and finds its command
//	/proc/PID    root and namespaces of init: the link is followed to what it means, and
//	             nothing is looked up by name
//	cgroup       the kernel's own file systems
//	streams      pipes of the shim's making
//
// There are three exceptions. Create mounts and looks around in what the image and the
// specification say, before anything of the container has run. So does Restore, and the
// terminal that criu hands over is looked at by the shim. A checkpoint looks up in the
// container where its binds are (outermounts.go): a thread waits there for as long as the
// server does.
//
// While the forerunner of an exec waits for a server, until its exec is killed or the
// request ends, orphans of containers without a pid namespace are not reaped
// (pidSet.hold): a child that the shim does not know of yet may be born at any time.
//
// # Hooks
//
//	prestart, createRuntime  Create, before pivot_root   hookplan.go, on the host
//	createContainer          then                        hookplan.go, in the container's namespaces,
//	                                                     but for a pid namespace that is joined
//	startContainer           Start, init at its gate     starthook.go, an exec
//	poststart                Start, after the execve     hookplan.go, on the host
//	poststop                 Destroy, undo or Cleanup    hookplan.go, on the host
//
// hook.go runs one to its end: state on stdin, output kept for the error, timeout.
// All are made by the machine that makes init: nothing of the shim's but three pipes
// reaches them. A hook on the host leads a process group, by which it is killed at
// its timeout; one in the container's namespaces is in its cgroup, which ends with a
// Create that failed; an exec's tree is known (tree.go). From where the hooks of Create
// have their turn, poststop hooks follow a failure of Create.
//
// Differences from runc 1.5, on purpose: poststart runs in Start, not in Create, and
// its failure kills the container (the specification); a startContainer hook that
// fails fails Start, not only the container; a hook that ends is not waited for
// until its last descendant has closed its output; all poststop hooks run, and
// Delete succeeds when one fails (the specification); output in errors is bounded;
// in a joined pid namespace the hooks of Create see another pid than the later ones.
//
// # Checkpoint and restore
//
//	checkpoint.go   what criu (package criu) is asked for, images.go where to
//	restore.go      Restore makes all but processes; its Start:
//	restored.go       criu starts in the container's cgroup, and in a mount namespace in
//	                  which alone the rootfs is mounted; it makes init the shim's child
//	fits.go           what came out is held against the specification, then runs
//
// The container's streams are pipes whose other ends the shim has. criu finds out by
// itself that a pipe leads out of the container (streams.go); at the restore the new
// container's streams take the place of the old one's. criu's other helpers, and what it
// prints, never have the container's streams.
//
// criu's socket is its life line: without the shim it gives back, at its next
// notification, what it had stopped, and ends. At a restore it is in the container's
// cgroup and dies with it.
//
// An image is a program that runs with all the rights that it says it has. Restored
// processes are therefore looked at before they run; and criu is given no directory
// with anything but files in it, and nothing of the image decides what is mounted from
// the host, joined, or put into the container's place in the cgroups.
//
// # Where the rootfs is mounted
//
// In the container's mount namespace alone, so that nothing of it is visible, or
// can leak, on the host. Where there are hooks that run on the host, they find it
// in the bundle, until poststop has run (mount.Config.HostVisibleRootfs). So it is where
// a program mounts it (mounthelper.go): that, and the server that it leaves, run on the
// host, in the shim's cgroup.
//
// # Namespaces
//
// Init is born in new namespaces and joins others itself, with two exceptions: a new
// time namespace is that of the thread that clones (spawn.go), and a joined pid namespace
// that of a forerunner. Where a
// user namespace is joined, the first child joins it and then clones init as its
// sibling (CLONE_PARENT), so that init's new namespaces belong to it
// (initPlan.reborn). So it does where init gets a new user namespace and joins
// others, in whose owner it has no rights then (namespaces.forerun). A cgroup namespace is unshared by the child once it is in its
// cgroup, as its root is where its maker stood.
//
// # Ownership
//
// A Container owns its Process values, the cgroup's descriptors and, until Start,
// the gate. Process.Close and Container.Destroy release them. Files of a Config stay
// the caller's. Container.mu guards only the gate and whether Destroy was called; no
// lock is held over a system call that can block, but for Destroy's own.
//
// Every child of the shim that somebody waits for is in own (reap.go); other
// children are orphans of containers without a pid namespace.
//
// No child is made by os/exec, loggers included (helper.go): until the execve is over
// it keeps syscall.ForkLock, and a thread that the garbage collector waits for. A
// program on a file system that does not answer would stop the whole shim.
//
// Kernel floor: 5.14 (cgroup.kill). Newest calls besides: mount_setattr 5.12,
// close_range 5.9 (CLOSE_RANGE_CLOEXEC 5.11), setns with a pidfd and faccessat2 5.8,
// clone3 with CLONE_INTO_CGROUP 5.7.
package linux
