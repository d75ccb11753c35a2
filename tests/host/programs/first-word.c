// SPDX-License-Identifier: Apache-2.0
/*
 * first-word WORD LOG COMMANDS PROGRAM [ARGUMENT...]: runs a VMM whose guest's console is its
 * standard input and output. Everything that comes out is appended to LOG, every line written into
 * the FIFO COMMANDS goes in. Says "pid=N ns=M" once WORD has come out: M nanoseconds after the
 * exec. Ends when the program does; the program is killed when this one is.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "relay.h"

struct program {
	pid_t pid;
	int in, out; /* its standard input and output, the other ends */
	uint64_t began_ns;
};

/* Finds the word in a stream; across pieces, too. */
struct search {
	const char *word;
	size_t matched;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static int start(struct program *p, char **argv)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		return -1;
	p->began_ns = now_ns();
	p->pid = fork();
	if (p->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		execvp(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	p->in = in[1];
	p->out = out[0];
	return p->pid < 0 ? -1 : 0;
}

/* A word that does not begin with its own middle is found without going back. */
static int found(struct search *s, const char *data, size_t size)
{
	for (size_t i = 0; i < size && s->word[s->matched]; i++) {
		if (data[i] == s->word[s->matched])
			s->matched++;
		else
			s->matched = data[i] == s->word[0];
	}
	return s->word[s->matched] == '\0';
}

static void relay(const struct program *p, const char *word, int log, int commands)
{
	struct pollfd fds[] = {{.fd = p->out, .events = POLLIN},
			       {.fd = commands, .events = POLLIN}};
	struct search search = {.word = word};
	int said = 0;

	for (;;) {
		char data[4096];
		uint64_t at;
		ssize_t n;

		if (poll(fds, 2, -1) < 0)
			continue;
		at = now_ns();
		if (fds[0].revents) {
			n = relay_copy(p->out, log, data, sizeof(data));
			if (n < 0)
				return;
			if (!said && found(&search, data, (size_t)n)) {
				printf("pid=%d ns=%llu\n", p->pid,
				       (unsigned long long)(at - p->began_ns));
				fflush(stdout);
				said = 1;
			}
		}
		if (fds[1].revents && relay_copy(commands, p->in, data, sizeof(data)) < 0)
			return;
	}
}

int main(int argc, char **argv)
{
	struct program program;
	int log, commands, status;

	if (argc < 5 || !argv[1][0]) {
		fprintf(stderr, "Usage: first-word WORD LOG COMMANDS PROGRAM [ARGUMENT...]\n");
		return 2;
	}
	if (relay_open(argv[2], argv[3], &log, &commands) < 0)
		return 1;
	if (start(&program, argv + 4) < 0) {
		perror("first-word");
		return 1;
	}
	relay(&program, argv[1], log, commands);
	if (waitpid(program.pid, &status, 0) < 0)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
