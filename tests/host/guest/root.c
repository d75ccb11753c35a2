// SPDX-License-Identifier: Apache-2.0
/*
 * A Debian system on a disk, and programs that run in it: one that works all the time and tells how
 * far it is, and others that are run to their end.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

#define ROOT	 "/root"
#define LAST_MAX 800

/* Each is the leader of a process group, and both of its outputs are one pipe. */
static struct job {
	const char *word; /* what is said when it has ended; NULL: nothing */
	pid_t pid;	  /* 0: there is none */
	bool running;
	int status; /* as of waitpid(2), once it does not run */
	int output;
	uint64_t lines;
	char last[LAST_MAX]; /* line */
} work, errand = {.word = "ran"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all of a job */
static pthread_cond_t reaped = PTHREAD_COND_INITIALIZER;
static bool mounted;

static void mount_or_say(const char *source, const char *target, const char *type,
			 unsigned long flags)
{
	if (mount(source, target, type, flags, NULL) < 0)
		say("fault kind=mount target=%s errno=%d", target, errno);
}

void root_start(const struct params *params)
{
	if (!params->root[0])
		return;
	mkdir(ROOT, 0755);
	mount_or_say(params->root, ROOT, "ext4", 0);
	mount_or_say("proc", ROOT "/proc", "proc", 0);
	mount_or_say("sysfs", ROOT "/sys", "sysfs", 0);
	mount_or_say("/dev", ROOT "/dev", NULL, MS_BIND);
	mount_or_say("/work", ROOT "/work", NULL, MS_BIND);
	mount_or_say("tmpfs", ROOT "/run", "tmpfs", 0);
	mount_or_say("tmpfs", ROOT "/tmp", "tmpfs", 0);
	if (params->srv[0])
		mount_or_say(params->srv, ROOT "/srv", "ext4", 0);
	mounted = true;
}

/* In the child. */
static _Noreturn void run_in_root(const char *command, int output)
{
	static const char *const environment[] = {"PATH=/usr/sbin:/usr/bin", "HOME=/tmp", NULL};
	int null = open("/dev/null", O_RDONLY);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	dup2(null, 0);
	dup2(output, 1);
	dup2(output, 2);
	if (chroot(ROOT) == 0 && chdir("/tmp") == 0)
		execle("/bin/sh", "sh", "-c", command, NULL, environment);
	_exit(127);
}

static void keep_line(struct job *job, const char *line)
{
	pthread_mutex_lock(&lock);
	job->lines++;
	snprintf(job->last, sizeof(job->last), "%s", line);
	pthread_mutex_unlock(&lock);
}

/* Lock held. */
static void tell(const struct job *job, const char *word)
{
	int status = !job->pid || job->running ? -1 : job->status;

	say("%s running=%d status=%d lines=%lu %s", word, job->running, status, job->lines,
	    job->last);
}

static void *listen(void *arg)
{
	struct job *job = arg;
	FILE *output = fdopen(job->output, "r");
	char line[LAST_MAX];

	while (output && fgets(line, sizeof(line), output)) {
		line[strcspn(line, "\n")] = '\0';
		keep_line(job, line);
	}
	if (output)
		fclose(output);
	pthread_mutex_lock(&lock);
	while (job->running)
		pthread_cond_wait(&reaped, &lock);
	if (job->word)
		tell(job, job->word);
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void begin(struct job *job, const char *command)
{
	pthread_t thread;
	int fds[2];

	pthread_mutex_lock(&lock);
	if (!mounted || job->running || pipe2(fds, O_CLOEXEC) < 0) {
		say("fault kind=begin mounted=%d running=%d", mounted, job->running);
		pthread_mutex_unlock(&lock);
		return;
	}
	job->lines = 0;
	job->last[0] = '\0';
	job->output = fds[0];
	job->pid = fork();
	if (job->pid == 0)
		run_in_root(command, fds[1]);
	job->running = job->pid > 0;
	close(fds[1]);
	pthread_mutex_unlock(&lock);
	pthread_create(&thread, NULL, listen, job);
	pthread_detach(thread);
}

void root_begin(const char *command)
{
	begin(&work, command);
	root_progress();
}

void root_run(const char *command)
{
	begin(&errand, command);
}

void root_progress(void)
{
	pthread_mutex_lock(&lock);
	tell(&work, "progress");
	pthread_mutex_unlock(&lock);
}

bool root_reaped(pid_t pid, int status)
{
	struct job *job = pid == work.pid ? &work : pid == errand.pid ? &errand : NULL;

	/* Whom the programs leave behind becomes a child of PID 1. */
	if (!job)
		return mounted && !processes_has(pid);
	pthread_mutex_lock(&lock);
	job->running = false;
	job->status = status;
	pthread_cond_broadcast(&reaped);
	pthread_mutex_unlock(&lock);
	return true;
}

/* In the middle of what it does. Children of those that are killed come to PID 1 with the next try.
 */
static void kill_group(const struct job *job)
{
	while (job->pid > 0 && kill(-job->pid, SIGKILL) == 0)
		waitpid(-job->pid, NULL, 0);
}

void root_leave(void)
{
	static const char *const targets[] = {ROOT "/srv", ROOT "/tmp", ROOT "/run",  ROOT "/work",
					      ROOT "/dev", ROOT "/sys", ROOT "/proc", ROOT};

	if (!mounted)
		return;
	kill_group(&work);
	kill_group(&errand);
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		if (umount(targets[i]) < 0 && errno != EINVAL)
			say("fault kind=umount target=%s errno=%d", targets[i], errno);
}
