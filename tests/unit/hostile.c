/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/hostile.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>

#include "base/log.h"
#include "base/util.h"
#include "vmm/confine/confine.h"

#define CODE_BASE 1 /* exit status of a refusal: CODE_BASE + errno */
#define BROKEN	  255

#define ATTACK(name)                                             \
	static int name(const struct hostile_victim *v _unused_, \
			const struct vm_config *own _unused_)

static int result(long r)
{
	return r < 0 ? -errno : 0;
}

static int open_path(const char *path, int flags)
{
	return result(open(path, flags | O_CLOEXEC | O_NONBLOCK, 0600));
}

/* ---- Files of others. ---- */

ATTACK(read_disk)
{
	return open_path(v->disk, O_RDONLY);
}

ATTACK(write_disk)
{
	return open_path(v->disk, O_WRONLY);
}

ATTACK(read_secret)
{
	return open_path(v->secret, O_RDONLY);
}

ATTACK(make_file)
{
	return open_path("/tmp/holdfast-hostile", O_WRONLY | O_CREAT);
}

ATTACK(read_memory_of_host)
{
	return open_path("/dev/mem", O_RDWR);
}

ATTACK(remove_disk)
{
	return result(unlink(v->disk));
}

ATTACK(connect_to_vm)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd < 0)
		return -errno;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", v->socket);
	return result(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)));
}

/* ---- The network. ---- */

ATTACK(use_tcp)
{
	return result(socket(AF_INET, SOCK_STREAM, 0));
}

ATTACK(use_packets)
{
	return result(socket(AF_PACKET, SOCK_RAW, 0));
}

/* ---- Other processes. ---- */

ATTACK(run_program)
{
	char *const argv[] = {(char *)(uintptr_t)"/bin/true", NULL};

	return result(execve(argv[0], argv, argv + 1));
}

ATTACK(make_process)
{
	return result(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

ATTACK(kill_other)
{
	return result(kill(v->pid, SIGKILL));
}

ATTACK(kill_thread_of_other)
{
	return result(syscall(SYS_tgkill, v->pid, v->pid, SIGKILL));
}

ATTACK(trace_other)
{
	return result(ptrace(PTRACE_ATTACH, v->pid, NULL, NULL));
}

ATTACK(read_other)
{
	char byte;
	struct iovec here = {&byte, 1}, there = {&byte, 1};

	return result(process_vm_readv(v->pid, &here, 1, &there, 1, 0));
}

/* ---- The kernel. ---- */

ATTACK(mount_something)
{
	return result(mount("none", "/mnt", "tmpfs", 0, NULL));
}

ATTACK(leave_namespaces)
{
	return result(unshare(CLONE_NEWUSER));
}

/* With a descriptor that is none, so that only a filter can be what says no. */
ATTACK(make_vm)
{
	int r = result(ioctl(-1, KVM_CREATE_VM, 0UL));

	return r == -EBADF ? 0 : r;
}

ATTACK(type_into_terminal)
{
	int r = result(ioctl(-1, TIOCSTI, "x"));

	return r == -EBADF ? 0 : r;
}

ATTACK(make_ring)
{
	int r = result(syscall(SYS_io_uring_setup, 0U, NULL));

	return r == -EFAULT || r == -EINVAL ? 0 : r;
}

ATTACK(make_code)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? -errno : 0;
}

ATTACK(become_root)
{
	return result(syscall(SYS_setresuid, 0, 0, 0));
}

/* A 32-bit call passes a list of 64-bit numbers. */
ATTACK(use_other_abi)
{
	return result(syscall(0x40000000L + SYS_getpid));
}

const struct hostile_attack hostile_attacks[] = {
	{"read another VM's disk", read_disk},
	{"write another VM's disk", write_disk},
	{"remove another VM's disk", remove_disk},
	{"read a file of the host", read_secret},
	{"make a file in /tmp", make_file},
	{"open /dev/mem", read_memory_of_host},
	{"connect to another VM's API", connect_to_vm},
	{"make a TCP socket", use_tcp},
	{"make a packet socket", use_packets},
	{"run a program", run_program},
	{"make a process", make_process},
	{"kill another process", kill_other},
	{"kill a thread of another process", kill_thread_of_other},
	{"trace another process", trace_other},
	{"read another process's memory", read_other},
	{"mount", mount_something},
	{"make a user namespace", leave_namespaces},
	{"make a virtual machine", make_vm},
	{"type into the operator's terminal", type_into_terminal},
	{"make an io_uring", make_ring},
	{"make code", make_code},
	{"become root", become_root},
	{"call as another ABI", use_other_abi},
	{0},
};

/* ---- What must go on. ---- */

ATTACK(move_bytes)
{
	uint64_t value = 1;
	int fd = eventfd(0, EFD_CLOEXEC);

	if (fd < 0 || write(fd, &value, sizeof(value)) < 0 || read(fd, &value, sizeof(value)) < 0)
		return -errno;
	return result(close(fd));
}

ATTACK(take_memory)
{
	void *page =
		mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return -errno;
	memset(page, 1, 1 << 20);
	return result(munmap(page, 1 << 20));
}

ATTACK(signal_own_thread)
{
	return -pthread_kill(pthread_self(), 0);
}

ATTACK(write_log)
{
	log_info("a line");
	return 0;
}

const struct hostile_attack hostile_duties[] = {
	{"move bytes", move_bytes},
	{"take memory and give it back", take_memory},
	{"signal a thread of its own", signal_own_thread},
	{"write to the log", write_log},
	{0},
};

/* ---- The process. ---- */

struct hostile {
	const struct hostile_attack *attack;
	const struct hostile_victim *victim;
	const struct vm_config *own;
	struct loop *loop;
	const char *role;
	int code;
};

static void carry_out(void *opaque)
{
	struct hostile *h = opaque;

	h->code = h->attack->run(h->victim, h->own);
}

/* As base/loop_thread.c and vmm/vcpu_thread.c begin. */
static void *thread(void *opaque)
{
	struct hostile *h = opaque;
	struct error err = ERROR_INIT;
	char name[16];

	snprintf(name, sizeof(name), "%s:h", h->role);
	pthread_setname_np(pthread_self(), name);
	if (loop_enter_thread(h->loop, h->role, &err) < 0)
		_exit(BROKEN);
	carry_out(h);
	return NULL;
}

static int in_process(struct hostile *h, int log_fd)
{
	struct confine confine = {0};
	struct error err = ERROR_INIT;
	pthread_t id;
	int r;

	log_setup("hostile", LOG_LEVEL_INFO, log_fd);
	r = confine_begin(h->own, false, log_fd, FD_NONE, &err);
	if (r == 0)
		r = loop_new(&h->loop, &err);
	if (r == 0)
		r = confine_enter(&confine, h->own, false, &err);
	if (r == 0)
		r = confine_enter(&confine, h->own, true, &err);
	if (r < 0) {
		log_error("%s", error_message(&err));
		return BROKEN;
	}
	loop_set_guard(h->loop, &confine.guard);
	if (strcmp(h->role, "main") == 0) {
		carry_out(h);
		return h->code ? CODE_BASE - h->code : 0;
	}
	r = pthread_create(&id, NULL, thread, h);
	if (r)
		return BROKEN;
	pthread_join(id, NULL);
	return h->code ? CODE_BASE - h->code : 0;
}

static void judge(int status, struct hostile_result *ret)
{
	if (WIFSIGNALED(status)) {
		ret->end = WTERMSIG(status) == SIGSYS ? HOSTILE_KILLED : HOSTILE_BROKEN;
		ret->code = WTERMSIG(status);
	} else if (WEXITSTATUS(status) == 0) {
		ret->end = HOSTILE_DONE;
	} else if (WEXITSTATUS(status) == BROKEN) {
		ret->end = HOSTILE_BROKEN;
	} else {
		ret->end = HOSTILE_REFUSED;
		ret->code = WEXITSTATUS(status) - CODE_BASE;
	}
}

void hostile_run(const char *role, const struct hostile_attack *attack,
		 const struct hostile_victim *victim, const struct vm_config *own,
		 struct hostile_result *ret)
{
	struct hostile h = {.attack = attack, .victim = victim, .own = own, .role = role};
	int log[2], status = 0;
	ssize_t n;
	pid_t pid;

	*ret = (struct hostile_result){.end = HOSTILE_BROKEN};
	if (pipe(log) < 0)
		return;
	pid = fork();
	if (pid == 0) {
		close(log[0]);
		_exit(in_process(&h, log[1]));
	}
	close(log[1]);
	if (pid > 0 && waitpid(pid, &status, 0) == pid)
		judge(status, ret);
	n = read(log[0], ret->said, sizeof(ret->said) - 1);
	ret->said[MAX_OF(n, 0)] = '\0';
	close(log[0]);
}
