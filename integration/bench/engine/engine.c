// SPDX-License-Identifier: Apache-2.0
//
// engine ROOTFS CGROUP2 ROUNDS COMMAND
//
// Makes containers with the kernel calls that ctr's default spec needs, and
// with nothing else: no checks, no clean-up on errors, no Go. What it takes is
// the least that a runtime can take. Prints the medians, in milliseconds, of
//
//	create  until the container waits to be told to execve
//	run     until COMMAND has exited and the cgroup is removed
//
// as one line of JSON. Needs Linux 5.14.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define CHECK(call)                                                            \
	({                                                                     \
		long r_ = (long)(call);                                        \
		if (r_ < 0) {                                                  \
			fprintf(stderr, "engine: line %d: %s: %s\n", __LINE__, \
				#call, strerror(errno));                       \
			_exit(1);                                              \
		}                                                              \
		r_;                                                            \
	})

struct param {
	const char *key, *value;
};

// attach makes a superblock and mounts it.
static void attach(const char *type, const struct param *params, unsigned attrs, const char *target)
{
	int fs = CHECK(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));
	for (; params && params->key; params++)
		CHECK(syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, params->key, params->value, 0));
	CHECK(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
	int mnt = CHECK(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attrs));
	CHECK(syscall(SYS_move_mount, mnt, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH));
	close(mnt);
	close(fs);
}

// cover mounts a copy of what source is on target, if that exists.
static void cover(const char *source, const char *target, uint64_t attrs)
{
	int at = open(target, O_PATH | O_CLOEXEC);
	if (at < 0)
		return;
	int tree = CHECK(syscall(SYS_open_tree, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
	if (attrs) {
		struct mount_attr a = {.attr_set = attrs};
		CHECK(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &a, sizeof a));
	}
	CHECK(syscall(SYS_move_mount, tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
	close(tree);
	close(at);
}

static void mounts(const char *rootfs)
{
	const unsigned safe = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	CHECK(mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	cover(rootfs, rootfs, 0);
	CHECK(chdir(rootfs));
	attach("proc", NULL, safe, "proc");
	attach("tmpfs", (struct param[]){{"mode", "755"}, {"size", "65536k"}, {0}}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME, "dev");
	static const char *const dirs[] = {"dev/pts", "dev/shm", "dev/mqueue"};
	for (int i = 0; i < 3; i++)
		CHECK(mkdir(dirs[i], 0755));
	attach("devpts", (struct param[]){{"ptmxmode", "0666"}, {"mode", "0620"}, {"gid", "5"}, {0}}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, "dev/pts");
	attach("tmpfs", (struct param[]){{"mode", "1777"}, {"size", "65536k"}, {0}}, safe, "dev/shm");
	attach("mqueue", NULL, safe, "dev/mqueue");
	attach("sysfs", NULL, safe | MOUNT_ATTR_RDONLY, "sys");
	attach("tmpfs", (struct param[]){{"mode", "755"}, {"size", "65536k"}, {0}}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME, "run");

	static const struct {
		const char *path;
		int major, minor;
	} devices[] = {{"dev/null", 1, 3}, {"dev/zero", 1, 5}, {"dev/full", 1, 7}, {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0}};
	for (int i = 0; i < 6; i++) {
		CHECK(mknod(devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)));
		CHECK(chmod(devices[i].path, 0666));
	}
	CHECK(symlink("pts/ptmx", "dev/ptmx"));
	CHECK(symlink("/proc/self/fd", "dev/fd"));
	CHECK(symlink("/proc/self/fd/0", "dev/stdin"));
	CHECK(symlink("/proc/self/fd/1", "dev/stdout"));
	CHECK(symlink("/proc/self/fd/2", "dev/stderr"));

	CHECK(syscall(SYS_pivot_root, ".", "."));
	CHECK(umount2(".", MNT_DETACH));
	CHECK(chdir("/"));

	static const char *const masked[] = {"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
		"/sys/firmware", "/sys/devices/virtual/powercap"};
	for (unsigned i = 0; i < sizeof masked / sizeof *masked; i++) {
		struct stat st;
		if (stat(masked[i], &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			attach("tmpfs", NULL, MOUNT_ATTR_RDONLY, masked[i]);
		else
			cover("/dev/null", masked[i], 0);
	}
	static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
	for (unsigned i = 0; i < sizeof readonly / sizeof *readonly; i++)
		cover(readonly[i], readonly[i], MOUNT_ATTR_RDONLY | safe);
}

// loopback brings lo up.
static void loopback(void)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int s = CHECK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	CHECK(ioctl(s, SIOCSIFFLAGS, &r));
	close(s);
}

// identity leaves root with containerd's default capabilities.
static void identity(void)
{
	const uint64_t caps = 0xa80425fb;
	CHECK(setsid());
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (!(caps >> cap & 1))
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); // newer than the kernel, perhaps
	CHECK(setgroups(0, NULL));
	CHECK(setresgid(0, 0, 0));
	CHECK(setresuid(0, 0, 0));
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)caps, .permitted = (uint32_t)caps},
		{.effective = caps >> 32, .permitted = caps >> 32},
	};
	CHECK(syscall(SYS_capset, &head, data));
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void container(const char *rootfs, const char *cgroup, char *const argv[], double *create, double *run)
{
	int ready[2], gate[2], pidfd;
	char byte = 0;
	double begin = now();
	CHECK(mkdir(cgroup, 0755));
	int group = CHECK(open(cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC));
	CHECK(pipe2(ready, O_CLOEXEC));
	CHECK(pipe2(gate, O_CLOEXEC));
	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_INTO_CGROUP | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP,
		.pidfd = (uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = group,
	};
	if (CHECK(syscall(SYS_clone3, &args, sizeof args)) == 0) {
		mounts(rootfs);
		loopback();
		CHECK(sethostname("engine", 6));
		identity();
		CHECK(write(ready[1], &byte, 1));
		CHECK(read(gate[0], &byte, 1));
		CHECK(execve(argv[0], argv, (char *const[]){"PATH=/bin", NULL}));
	}
	CHECK(read(ready[0], &byte, 1));
	*create = now() - begin;
	CHECK(write(gate[1], &byte, 1));
	siginfo_t info;
	CHECK(waitid(P_PIDFD, pidfd, &info, WEXITED));
	if (info.si_status != 0) {
		fprintf(stderr, "engine: %s: status %d\n", argv[0], info.si_status);
		exit(1);
	}
	while (rmdir(cgroup) < 0 && errno == EBUSY)
		;
	*run = now() - begin;
	close(pidfd);
	close(group);
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(gate[i]);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char *argv[])
{
	if (argc < 5) {
		fprintf(stderr, "usage: engine ROOTFS CGROUP2 ROUNDS COMMAND...\n");
		return 2;
	}
	int rounds = atoi(argv[3]);
	char cgroup[4096];
	snprintf(cgroup, sizeof cgroup, "%s/engine-%d", argv[2], getpid());
	double *create = calloc(rounds, sizeof *create), *run = calloc(rounds, sizeof *run);
	for (int i = 0; i < rounds; i++)
		container(argv[1], cgroup, argv + 4, &create[i], &run[i]);
	qsort(create, rounds, sizeof *create, compare);
	qsort(run, rounds, sizeof *run, compare);
	printf("{\"create\": %.4f, \"run\": %.4f}\n", create[rounds / 2], run[rounds / 2]);
	return 0;
}
