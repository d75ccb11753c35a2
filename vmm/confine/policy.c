/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the threads of vmm may ask of the kernel. docs/confinement.md has the same as one table.
 * Linked into filter_gen only: it is not part of vmm.
 */
#include "base/confine/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/confine/filter.h"

/* Headers of these belong to other folders (tests/lint/layers.py); their types are enough. */
#define TYPE_VFIO	';' /* iommufd has the same */
#define TYPE_VHOST	0xAF
#define TYPE_LIVEUPDATE 0xBA

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41 /* glibc names its memory by it */
#endif

#define ROUTE_SOCKET                                      \
	{                                                 \
		.call = "socket", .count = 2, .checks = { \
			{0, POLICY_32, AF_NETLINK},       \
			{2, POLICY_32, NETLINK_ROUTE}     \
		}                                         \
	}

/* What no thread of the C library can do without, and work on descriptors that are open. */
static const struct policy_rule basics[] = {
	CALL(read),
	CALL(write),
	CALL(readv),
	CALL(writev),
	CALL(pread64),
	CALL(pwrite64),
	CALL(preadv),
	CALL(pwritev),
	CALL(preadv2),
	CALL(pwritev2),
	CALL(close),
	CALL(lseek),
	CALL(fstat),
	CALL(newfstatat),
	CALL(statx),
	CALL(poll),
	CALL(ppoll),
	CALL(epoll_wait),
	CALL(epoll_pwait),
	CALL(epoll_ctl),
	CALL(timerfd_create),
	CALL(timerfd_settime),
	CALL(timerfd_gettime),
	CALL(futex),
	CALL(clock_gettime),
	CALL(clock_getres),
	CALL(gettimeofday),
	CALL(time),
	CALL(nanosleep),
	CALL(clock_nanosleep),
	CALL(getpid),
	CALL(gettid),
	CALL(sched_yield),
	CALL(getrandom),
	CALL(getcpu),
	CALL(sysinfo), /* qsort(3) asks how much memory there is */
	CALL(sched_getaffinity),
	CALL(rt_sigprocmask),
	CALL(rt_sigreturn),
	CALL(sigaltstack),
	CALL(restart_syscall),
	CALL(rseq),
	CALL(set_robust_list),
	CALL(exit),
	CALL(exit_group),
	CALL(brk),
	CALL(munmap),
	CALL(mremap),
	CALL(madvise),
	CALL(membarrier),
	/* Memory, but no new code. */
	CALL_IF_NOT(mmap, 2, PROT_EXEC),
	CALL_IF_NOT(mprotect, 2, PROT_EXEC),
	/* Its own threads only. */
	CALL_IF(tgkill, 0, FILTER_OWN_PID),
	CALL_IF(prctl, 0, PR_SET_NAME),
	CALL_IF(prctl, 0, PR_GET_NAME),
	CALL_IF(prctl, 0, PR_SET_VMA),
	CALL_IF(fcntl, 1, F_GETFL),
	CALL_IF(fcntl, 1, F_SETFL),
	CALL_IF(fcntl, 1, F_GETFD),
	CALL_IF(fcntl, 1, F_SETFD),
	{0},
};

/* The C library opens /proc/sys/vm/overcommit_memory when it gives memory back, and does without
 * it; its threads open nothing else. */
static const struct policy_rule opens_nothing[] = {
	CALL_REFUSE(openat, EACCES),
	CALL_REFUSE(open, EACCES),
	{0},
};

/* A register access moves interrupts and doorbells, and reads the clock, on whichever thread it
 * ends up. */
static const struct policy_rule interrupts[] = {
	IOCTL(KVM_IRQFD),
	IOCTL(KVM_IOEVENTFD),
	IOCTL(KVM_IRQ_LINE),
	IOCTL(KVM_SIGNAL_MSI),
	IOCTL(KVM_SET_GSI_ROUTING),
	IOCTL(KVM_GET_CLOCK),
	CALL(eventfd2),
	{0},
};

static const struct policy_rule runs_guest[] = {
	IOCTL(KVM_RUN),
	IOCTL(KVM_GET_MP_STATE),
	/* The guest moves a BAR that is memory of a device of the host. */
	IOCTL(KVM_SET_USER_MEMORY_REGION),
	IOCTL_TYPE(TYPE_VFIO),
	IOCTL_TYPE(TYPE_VHOST),
	{0},
};

static const struct policy_rule gives_memory_back[] = {CALL(fallocate), {0}};

static const struct policy_rule works_on_images[] = {
	CALL(io_uring_enter),
	CALL(fsync),
	CALL(fdatasync),
	CALL(fallocate),
	CALL(ftruncate),
	CALL(sync_file_range),
	IOCTL(BLKDISCARD),
	IOCTL(BLKZEROOUT),
	IOCTL(BLKGETSIZE64),
	/* For the pool of threads beside it: threads, no processes. */
	{.call = "clone",
	 .count = 1,
	 .checks = {{0, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND,
		     CLONE_VM | CLONE_THREAD | CLONE_SIGHAND}}},
	CALL_REFUSE(clone3, ENOSYS), /* its arguments cannot be looked at; glibc takes clone then */
	{0},
};

static const struct policy_rule works_on_tap[] = {
	/* Asks and listens what becomes of the tap (rtnetlink(7)), and what its bridge is called
	 * (netdevice(7), for which the C library takes a UNIX socket); nothing goes to an address.
	 */
	ROUTE_SOCKET,
	CALL_IF(socket, 0, AF_UNIX),
	IOCTL(SIOCGIFNAME),
	IOCTL(SIOCGIFINDEX),
	CALL(bind),
	{.call = "sendto", .count = 1, .checks = {{4, UINT64_MAX, 0}}},
	CALL(recvfrom),
	CALL(recvmsg),
	CALL(recvmmsg),
	IOCTL(TUNSETOFFLOAD),
	IOCTL(TUNSETQUEUE),
	IOCTL(TUNSETVNETHDRSZ),
	IOCTL(TUNSETVNETLE),
	IOCTL(TUNGETIFF),
	IOCTL_TYPE(TYPE_VHOST),
	{0},
};

/* The main thread: makes the machine, serves API and agent, takes the guest through an update. Its
 * threads have no more than it has. */
static const struct policy_rule files[] = {
	CALL(open),
	CALL(openat),
	CALL(access),
	CALL(faccessat),
	CALL(faccessat2),
	CALL(stat),
	CALL(lstat),
	CALL(statfs),
	CALL(fstatfs),
	CALL(readlink),
	CALL(readlinkat),
	CALL(getdents64),
	CALL(getcwd),
	CALL(unlink),
	CALL(unlinkat),
	CALL(umask),
	CALL(flock),
	CALL(linkat), /* a snapshot gets its name when it is whole */
	CALL(fchmod),
	CALL(dup),
	CALL(memfd_create),
	CALL(mkdir),
	CALL(mkdirat),
	CALL(rename),
	CALL(renameat),
	CALL(renameat2),
	CALL(io_uring_setup),
	CALL(io_uring_register),
	CALL(fcntl),
	IOCTL(FS_IOC_GETFLAGS),
	IOCTL_TYPE(0x15), /* FS_IOC_GETFSUUID */
	{0},
};

static const struct policy_rule block_devices[] = {
	IOCTL(BLKSSZGET), IOCTL(BLKPBSZGET),  IOCTL(BLKIOMIN),
	IOCTL(BLKIOOPT),  IOCTL(BLKALIGNOFF), IOCTL(BLKROGET),
	IOCTL(FIONREAD),  IOCTL(FIONBIO),     {0},
};

/* Neither TIOCSTI nor TIOCLINUX: they would write to the operator's own terminal. */
static const struct policy_rule terminals[] = {
	IOCTL(TCGETS),	 IOCTL(TCSETS),	    IOCTL(TCSETSW),    IOCTL(TCSETSF),
	IOCTL(TIOCGPTN), IOCTL(TIOCSPTLCK), IOCTL(TIOCGWINSZ), IOCTL(TIOCGPTPEER),
	IOCTL(TCFLSH),	 IOCTL(TCSBRK),	    IOCTL(TCSBRKP),    {0},
};

static const struct policy_rule sockets[] = {
	CALL_IF(socket, 0, AF_UNIX),
	ROUTE_SOCKET,
	CALL(bind),
	CALL(sendto),
	CALL(sendmsg),
	CALL(listen),
	CALL(accept),
	CALL(accept4),
	CALL(connect),
	CALL(shutdown),
	CALL(getsockname),
	CALL(getpeername),
	CALL(getsockopt),
	CALL(setsockopt),
	CALL(recvfrom),
	CALL(recvmsg),
	CALL(sendfile),
	IOCTL(TUNSETIFF),
	IOCTL(TUNGETFEATURES),
	IOCTL(TUNGETVNETHDRSZ),
	IOCTL(TUNSETPERSIST),
	IOCTL(SIOCBRADDIF),
	IOCTL(SIOCGIFFLAGS),
	IOCTL(SIOCSIFFLAGS),
	IOCTL(SIOCSIFMTU),
	{0},
};

static const struct policy_rule machine[] = {
	IOCTL_TYPE(KVMIO),
	IOCTL_TYPE(TYPE_LIVEUPDATE),
	CALL(epoll_create1),
	CALL(signalfd4),
	CALL(inotify_init1),
	CALL(inotify_add_watch),
	CALL(inotify_rm_watch),
	CALL(pipe2),
	CALL(rt_sigaction),
	CALL(rt_sigpending),
	CALL(rt_sigtimedwait),
	CALL(uname),
	CALL(getuid),
	CALL(geteuid),
	CALL(getgid),
	CALL(getegid),
	CALL(mincore),
	CALL(msync),
	/* Looks at its limits, and changes none. */
	{.call = "prlimit64", .count = 2, .checks = {{0, POLICY_32, 0}, {2, UINT64_MAX, 0}}},
	CALL(getrlimit),
	/* Steps aside for the guest; raising a priority needs a capability (CAP_SYS_NICE). */
	{.call = "setpriority",
	 .count = 2,
	 .checks = {{0, POLICY_32, PRIO_PROCESS}, {1, POLICY_32, 0}}},
	{0},
};

/* Puts threads, and itself, under more. */
static const struct policy_rule confines[] = {
	CALL_IF(seccomp, 0, SECCOMP_SET_MODE_FILTER),
	CALL(landlock_create_ruleset),
	CALL(landlock_add_rule),
	CALL(landlock_restrict_self),
	{0},
};

const char policy_array[] = "vmm_filters";

const struct policy policies[] = {
	{"main",
	 POLICY_TRAP,
	 {basics, files, block_devices, terminals, sockets, machine, confines, interrupts,
	  runs_guest, gives_memory_back, works_on_images, works_on_tap}},
	{"vcpu", POLICY_TRAP, {basics, opens_nothing, interrupts, runs_guest}},
	{"disk", POLICY_TRAP, {basics, opens_nothing, interrupts, works_on_images}},
	{"net", POLICY_TRAP, {basics, opens_nothing, interrupts, works_on_tap}},
	{"balloon", POLICY_TRAP, {basics, opens_nothing, interrupts, gives_memory_back}},
	{0},
};
