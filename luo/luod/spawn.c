/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/log.h"

#define LOG_TAIL 1024

void vm_file(const struct luod *luod, const char *id, const char *suffix, char path[PATH_MAX])
{
	int n = snprintf(path, PATH_MAX, "%s/vms/%s%s", luod->options.run_dir, id, suffix);

	/* Cannot be: the run folder is checked at start to leave room for the longest id. */
	if (n >= PATH_MAX)
		path[0] = '\0';
}

int spawn_make_folder(const struct luod *luod, const struct vm_record *record, struct error *err)
{
	char path[PATH_MAX];
	struct identity who = {0};
	int n = snprintf(path, sizeof(path), "%s/vm", luod->options.run_dir);

	if (n >= PATH_MAX || (mkdir(path, 0755) < 0 && errno != EEXIST))
		return error_sys(err, -errno, "%s", path);
	snprintf(path + n, sizeof(path) - (size_t)n, "/%s", record->id);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_sys(err, -errno, "%s", path);
	if (record->user[0] && identity_parse(record->user, &who, err) < 0)
		return -EINVAL;
	/* Only root's luod can give it away; it has it from an earlier start, or needs no other. */
	if (geteuid() == 0 && chown(path, who.uid, who.gid) < 0)
		return error_sys(err, -errno, "%s", path);
	return 0;
}

static int set_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawnattr_setsigmask(attr, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attr, &all);
	/* A session of its own: what ends luod's terminal or process group ends no guest. */
	if (r == 0)
		r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
							   POSIX_SPAWN_SETSIGDEF);
	return r;
}

static int set_files(posix_spawn_file_actions_t *files, const char *log_path)
{
	int r;

	r = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(files, STDOUT_FILENO, log_path,
						     O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(files, STDOUT_FILENO, STDERR_FILENO);
	/* All of ours are close-on-exec; a library's may not be. */
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
	return r;
}

int spawn_vmm(struct luod *luod, const char *id, const char *const *argv, pid_t *ret_pid,
	      struct error *err)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	char log_path[PATH_MAX];
	pid_t pid;
	int r;

	vm_file(luod, id, ".log", log_path);
	r = posix_spawnattr_init(&attr);
	if (r)
		return error_sys(err, -r, "vm %s", id);
	r = posix_spawn_file_actions_init(&files);
	if (r) {
		posix_spawnattr_destroy(&attr);
		return error_sys(err, -r, "vm %s", id);
	}
	r = set_attributes(&attr);
	if (r == 0)
		r = set_files(&files, log_path);
	if (r == 0)
		r = posix_spawn(&pid, argv[0], &files, &attr, (char *const *)(uintptr_t)argv,
				environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	if (r)
		return error_sys(err, -r, "vm %s: cannot start %s", id, argv[0]);
	log_info("vm %s: started %s (pid %d)", id, argv[0], pid);
	*ret_pid = pid;
	return 0;
}

/* The last line that is not empty; "" when there is none. */
static void read_last_line(const char *path, char line[LOG_TAIL])
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char tail[LOG_TAIL];
	struct stat st;
	ssize_t n;
	char *start;

	line[0] = '\0';
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	n = pread(fd, tail, sizeof(tail) - 1,
		  st.st_size >= LOG_TAIL ? st.st_size - LOG_TAIL + 1 : 0);
	if (n <= 0)
		return;
	tail[n] = '\0';
	for (char *p = tail + n; p > tail && (p[-1] == '\n' || p[-1] == '\r'); p--)
		p[-1] = '\0';
	start = strrchr(tail, '\n');
	snprintf(line, LOG_TAIL, "%s", start ? start + 1 : tail);
}

void spawn_describe_exit(struct luod *luod, const char *id, int wait_status, char *text,
			 size_t size)
{
	char path[PATH_MAX], line[LOG_TAIL];
	int n;

	vm_file(luod, id, ".log", path);
	read_last_line(path, line);
	if (WIFSIGNALED(wait_status))
		n = snprintf(text, size, "its vmm was ended by signal %d (%s)",
			     WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
	else
		n = snprintf(text, size, "its vmm exited with status %d", WEXITSTATUS(wait_status));
	if (line[0] && n > 0 && (size_t)n < size)
		snprintf(text + n, size - (size_t)n, ": %s (log: %s)", line, path);
}
