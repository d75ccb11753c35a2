// SPDX-License-Identifier: Apache-2.0
/*
 * luo-hand: does by hand to the Live Update Orchestrator what an operator's host may do to us.
 *
 *   luo-hand create NAME             makes a session of that name and keeps it
 *   luo-hand preserve NAME FILE      the same, with a memfd that holds FILE's bytes under token 0
 *   luo-hand refuse NAME             the same, with a file that refuses its freeze
 *   luo-hand device                  keeps the device open
 *   luo-hand peek NAME TOKEN...      retrieves the session and the tokens, says their sizes, and
 * keeps it luo-hand exists NAME             status 0 if an outgoing session of that name exists
 *
 * "Keeps": says "kept" and waits to be killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "luo/client.h"

static int failed(const struct error *err)
{
	fprintf(stderr, "luo-hand: %s\n", error_message(err));
	return 1;
}

static _Noreturn void keep(void)
{
	puts("kept");
	fflush(stdout);
	for (;;)
		pause();
}

static int kept(int failure)
{
	if (failure)
		return failure;
	keep();
}

/* The session's descriptor stays open until the process ends. */
static int create(const char *name, int *ret)
{
	struct error err = ERROR_INIT;

	return luo_session_create(name, LUO_OPEN_TIMEOUT_MS, ret, &err) < 0 ? failed(&err) : 0;
}

static int preserve(const char *name, const char *path)
{
	_cleanup_fd_ int memory =
		memfd_create("luo-hand", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	_cleanup_fd_ int file = open(path, O_RDONLY | O_CLOEXEC);
	struct error err = ERROR_INIT;
	struct stat info;
	int session;

	if (memory < 0 || file < 0 || fstat(file, &info) < 0 ||
	    sendfile(memory, file, NULL, (size_t)info.st_size) != info.st_size) {
		fprintf(stderr, "luo-hand: %s cannot be copied: %s\n", path, strerror(errno));
		return 1;
	}
	if (create(name, &session))
		return 1;
	if (luo_session_preserve_fd(session, memory, 0, path, &err) < 0)
		return failed(&err);
	keep();
}

/* Of a driver that only the kernels of the emulated host have. */
#define REFUSING_DEVICE "/dev/luo_refuse"

static int refuse(const char *name)
{
	_cleanup_fd_ int file = open(REFUSING_DEVICE, O_RDWR | O_CLOEXEC);
	struct error err = ERROR_INIT;
	int session;

	if (file < 0) {
		fprintf(stderr, "luo-hand: %s: %s\n", REFUSING_DEVICE, strerror(errno));
		return 1;
	}
	if (create(name, &session))
		return 1;
	if (luo_session_preserve_fd(session, file, 0, REFUSING_DEVICE, &err) < 0)
		return failed(&err);
	keep();
}

static int device(void)
{
	if (open(LUO_DEVICE, O_RDWR | O_CLOEXEC) < 0) {
		fprintf(stderr, "luo-hand: %s: %s\n", LUO_DEVICE, strerror(errno));
		return 1;
	}
	keep();
}

static int peek(const char *name, char **tokens)
{
	struct error err = ERROR_INIT;
	struct stat info;
	int session, fd;

	if (luo_session_retrieve(name, LUO_OPEN_TIMEOUT_MS, &session, &err) < 0)
		return failed(&err);
	for (; *tokens; tokens++) {
		if (luo_session_retrieve_fd(session, strtoull(*tokens, NULL, 0), *tokens, &fd,
					    &err) < 0)
			return failed(&err);
		if (fstat(fd, &info) == 0)
			printf("%s %lld\n", *tokens, (long long)info.st_size);
	}
	keep();
}

static int exists(const char *name)
{
	struct error err = ERROR_INIT;
	int session, result = luo_session_create(name, LUO_OPEN_TIMEOUT_MS, &session, &err);

	if (result == -EEXIST)
		return 0;
	if (result < 0)
		return failed(&err);
	fprintf(stderr, "luo-hand: there is no session %s\n", name);
	return 3;
}

int main(int argc, char **argv)
{
	int session;

	if (argc == 2 && !strcmp(argv[1], "device"))
		return device();
	if (argc == 3 && !strcmp(argv[1], "create"))
		return kept(create(argv[2], &session));
	if (argc == 4 && !strcmp(argv[1], "preserve"))
		return preserve(argv[2], argv[3]);
	if (argc == 3 && !strcmp(argv[1], "refuse"))
		return refuse(argv[2]);
	if (argc >= 3 && !strcmp(argv[1], "peek"))
		return peek(argv[2], argv + 3);
	if (argc == 3 && !strcmp(argv[1], "exists"))
		return exists(argv[2]);
	fprintf(stderr, "Usage: luo-hand create NAME | preserve NAME FILE | refuse NAME | device | "
			"peek NAME TOKEN... | exists NAME\n");
	return 2;
}
