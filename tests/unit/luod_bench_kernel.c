/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel of the bench: the linker's --wrap sends here what luod asks of the real one. */
#include "luod_bench.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>

#include "luo/client.h"
#include "luo/luod/registry_memfd.h"

struct bench_kernel bench_kernel;

int __wrap_luo_probe(unsigned int timeout_ms, struct error *err);
int __wrap_luo_session_create(const char *name, unsigned int timeout_ms, int *ret_fd,
			      struct error *err);
int __wrap_luo_session_retrieve(const char *name, unsigned int timeout_ms, int *ret_fd,
				struct error *err);
int __wrap_luo_session_preserve_fd(int session_fd, int fd, uint64_t token, const char *what,
				   struct error *err);
int __wrap_luo_session_retrieve_fd(int session_fd, uint64_t token, const char *what, int *ret_fd,
				   struct error *err);
int __wrap_luo_session_finish(int session_fd, struct error *err);
int __wrap_kexec_check_cmdline(const char *cmdline, const char *running, struct error *err);
int __wrap_kexec_load(const struct kexec_image *image, struct error *err);
int __wrap_kexec_unload(struct error *err);
int __wrap_kexec_reboot(struct error *err);
int __real_registry_memfd_write(int fd, const struct registry *reg, struct error *err);
int __wrap_registry_memfd_write(int fd, const struct registry *reg, struct error *err);
void __wrap_sync(void);
int __wrap_systemctl_kexec(struct error *err);
int __wrap_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *files,
		       const posix_spawnattr_t *attr, char *const argv[], char *const env[]);
int __wrap_kill(pid_t pid, int signo);
int __real_sock_peer(int fd, uid_t *ret_uid, pid_t *ret_pid);
int __wrap_sock_peer(int fd, uid_t *ret_uid, pid_t *ret_pid);

int __wrap_systemctl_kexec(struct error *err)
{
	if (bench_kernel.systemctl_error)
		return error_set(err, -bench_kernel.systemctl_error, "host: not booted with it");
	bench_kernel.host_stops++;
	return 0;
}

static int new_fd(int *ret_fd)
{
	*ret_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return *ret_fd < 0 ? -errno : 0;
}

int __wrap_luo_probe(unsigned int timeout_ms _unused_, struct error *err _unused_)
{
	return 0;
}

int __wrap_luo_session_create(const char *name, unsigned int timeout_ms _unused_, int *ret_fd,
			      struct error *err)
{
	if (bench_kernel.create_fails && strcmp(name, bench_kernel.create_fails) == 0)
		return error_set(err, -EEXIST, "session %s: cannot create it", name);
	bench_kernel.created++;
	return new_fd(ret_fd);
}

int __wrap_luo_session_retrieve(const char *name, unsigned int timeout_ms, int *ret_fd,
				struct error *err)
{
	if (bench_kernel.retrieve_fails && strcmp(name, bench_kernel.retrieve_fails) == 0) {
		/* Busy is a matter of time. */
		if (bench_kernel.retrieve_error != EBUSY || timeout_ms == 0)
			return error_set(err, -bench_kernel.retrieve_error,
					 "session %s: cannot retrieve it", name);
	}
	if (strcmp(name, LUO_HOST_SESSION) == 0 && !bench_kernel.host_session)
		return error_set(err, -ENOENT, "session %s: none", name);
	bench_kernel.retrieved++;
	return new_fd(ret_fd);
}

int __wrap_luo_session_preserve_fd(int session_fd _unused_, int fd _unused_,
				   uint64_t token _unused_, const char *what, struct error *err)
{
	if (bench_kernel.preserve_error)
		return error_set(err, -bench_kernel.preserve_error, "cannot preserve %s", what);
	return 0;
}

int __wrap_luo_session_retrieve_fd(int session_fd _unused_, uint64_t token _unused_,
				   const char *what, int *ret_fd, struct error *err)
{
	if (bench_kernel.retrieve_fd_error)
		return error_set(err, -bench_kernel.retrieve_fd_error, "cannot retrieve %s", what);
	*ret_fd = fcntl(bench_kernel.registry_fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

int __wrap_luo_session_finish(int session_fd _unused_, struct error *err _unused_)
{
	bench_kernel.finished++;
	return 0;
}

int __wrap_kexec_check_cmdline(const char *cmdline, const char *running _unused_, struct error *err)
{
	if (strstr(cmdline, "liveupdate=on"))
		return 0;
	return error_set(err, -EINVAL, "command line of the next kernel: no liveupdate=on");
}

int __wrap_kexec_load(const struct kexec_image *image _unused_, struct error *err)
{
	bench_kernel.loads++;
	if (bench_kernel.load_error)
		return error_set(err, -bench_kernel.load_error, "cannot load it");
	return 0;
}

int __wrap_kexec_unload(struct error *err _unused_)
{
	bench_kernel.unloads++;
	return 0;
}

int __wrap_kexec_reboot(struct error *err)
{
	bench_kernel.reboots++;
	if (bench_kernel.at_reboot)
		bench_kernel.at_reboot(bench_kernel.opaque);
	return error_set(err, -bench_kernel.reboot_error, "reboot refused");
}

int __wrap_registry_memfd_write(int fd, const struct registry *reg, struct error *err)
{
	if (bench_kernel.write_error)
		return error_set(err, -bench_kernel.write_error, "registry: cannot write it");
	bench_kernel.written_fd = fd;
	return __real_registry_memfd_write(fd, reg, err);
}

void __wrap_sync(void)
{
	atomic_fetch_add(&bench_kernel.syncs_under_way, 1);
	/* Longer than the deadline that the test sets, and bounded. */
	if (bench_kernel.sync_hangs)
		poll(NULL, 0, 500);
	atomic_fetch_sub(&bench_kernel.syncs_under_way, 1);
}

int __wrap_posix_spawn(pid_t *pid, const char *path _unused_,
		       const posix_spawn_file_actions_t *files _unused_,
		       const posix_spawnattr_t *attr _unused_, char *const argv[],
		       char *const env[] _unused_)
{
	size_t used = 0;

	if (bench_kernel.spawn_error)
		return bench_kernel.spawn_error;
	bench_kernel.spawns++;
	bench_kernel.spawned[0] = '\0';
	for (unsigned int i = 0; argv[i] && used < sizeof(bench_kernel.spawned); i++)
		used += (size_t)snprintf(bench_kernel.spawned + used,
					 sizeof(bench_kernel.spawned) - used, "%s%s", i ? " " : "",
					 argv[i]);
	*pid = bench_kernel.pid ? bench_kernel.pid : getpid();
	return 0;
}

int __wrap_kill(pid_t pid, int signo)
{
	if (signo != SIGKILL)
		return 0;
	bench_kernel.kills++;
	bench_kernel.killed = pid;
	return 0;
}

int __wrap_sock_peer(int fd, uid_t *ret_uid, pid_t *ret_pid)
{
	int r = __real_sock_peer(fd, ret_uid, ret_pid);

	if (bench_kernel.peer_pid)
		*ret_pid = bench_kernel.peer_pid;
	if (bench_kernel.peer_uid)
		*ret_uid = bench_kernel.peer_uid;
	return r;
}
