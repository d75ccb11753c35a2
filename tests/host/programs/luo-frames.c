// SPDX-License-Identifier: Apache-2.0
/*
 * luo-frames FOLDER SESSION TOKEN:MIB[:huge]...: makes a session with a memfd for each token, and
 * writes which page frames each has, as the processor's page tables say (pagemap, Linux
 * Documentation/admin-guide/mm/pagemap.rst): FOLDER/frames-SESSION-TOKEN, 64 bits for each page.
 * Says "kept" and keeps the session until it is killed.
 *
 * luo-frames file FILE OUT: the same of a file that is there already, such as another process's
 * memfd.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "luo/client.h"

#define PAGE	     4096U
#define HUGE_SIZE    (2 * MIB)
#define FRAME_MASK   ((UINT64_C(1) << 55) - 1)
#define PAGE_PRESENT (UINT64_C(1) << 63)

static int failed(const char *what)
{
	fprintf(stderr, "luo-frames: %s: %s\n", what, strerror(errno));
	return 1;
}

/* Mapped where huge pages can be, and every page touched. */
static uint8_t *make_memory(uint64_t size, bool huge, int *ret_fd)
{
	uint8_t *room, *memory;
	uintptr_t aligned;

	*ret_fd = memfd_create("luo-frames", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (*ret_fd < 0 || ftruncate(*ret_fd, (off_t)size) < 0 ||
	    fcntl(*ret_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return NULL;
	room = mmap(NULL, size + HUGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (room == MAP_FAILED)
		return NULL;
	aligned = ALIGN_UP((uintptr_t)room, (uintptr_t)HUGE_SIZE);
	memory = mmap((void *)aligned, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		      *ret_fd, 0);
	if (memory == MAP_FAILED || (huge && madvise(memory, size, MADV_HUGEPAGE) < 0))
		return NULL;
	for (uint64_t i = 0; i < size; i += PAGE)
		memory[i] = (uint8_t)(i / PAGE);
	return memory;
}

static int write_frames(const char *path, const uint8_t *memory, uint64_t size)
{
	_cleanup_fd_ int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	_cleanup_fd_ int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	size_t length = size / PAGE * sizeof(uint64_t);
	_cleanup_free_ uint64_t *entries = malloc(length);

	if (pagemap < 0 || out < 0 || !entries ||
	    pread(pagemap, entries, length, (off_t)((uintptr_t)memory / PAGE * 8)) !=
		    (ssize_t)length)
		return failed(path);
	for (uint64_t i = 0; i < size / PAGE; i++) {
		if (!(entries[i] & PAGE_PRESENT) || !(entries[i] & FRAME_MASK)) {
			errno = ENODATA;
			return failed("pagemap");
		}
		entries[i] &= FRAME_MASK;
	}
	return write(out, entries, length) == (ssize_t)length ? 0 : failed(path);
}

/* "0x100:64:huge" */
static int add(const char *folder, const char *name, int session, const char *spec)
{
	struct error err = ERROR_INIT;
	char *end, path[512];
	uint64_t token = strtoull(spec, &end, 0), size = 0;
	uint8_t *memory;
	bool huge = strstr(spec, ":huge") != NULL;
	int fd;

	if (*end == ':')
		size = strtoull(end + 1, NULL, 0) * MIB;
	errno = EINVAL;
	memory = size ? make_memory(size, huge, &fd) : NULL;
	if (!memory)
		return failed(spec);
	/* Preserving moves pages out of the areas of KHO: only then are they where they stay. */
	if (luo_session_preserve_fd(session, fd, token, spec, &err) < 0) {
		fprintf(stderr, "luo-frames: %s\n", error_message(&err));
		return 1;
	}
	for (uint64_t i = 0; i < size; i += PAGE)
		*(volatile uint8_t *)(memory + i) = (uint8_t)(i / PAGE + 1);
	snprintf(path, sizeof(path), "%s/frames-%s-0x%llx", folder, name,
		 (unsigned long long)token);
	return write_frames(path, memory, size);
}

static int frames_of_file(const char *file, const char *out)
{
	_cleanup_fd_ int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *memory;

	if (fd < 0 || fstat(fd, &st) < 0)
		return failed(file);
	memory = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	return memory == MAP_FAILED ? failed(file)
				    : write_frames(out, memory, (uint64_t)st.st_size);
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;
	int session;

	if (argc == 4 && strcmp(argv[1], "file") == 0)
		return frames_of_file(argv[2], argv[3]);
	if (argc < 3) {
		fprintf(stderr,
			"Usage: luo-frames FOLDER SESSION TOKEN:MIB[:huge]... | file FILE OUT\n");
		return 2;
	}
	if (luo_session_create(argv[2], LUO_OPEN_TIMEOUT_MS, &session, &err) < 0) {
		fprintf(stderr, "luo-frames: %s\n", error_message(&err));
		return 1;
	}
	for (int i = 3; i < argc; i++)
		if (add(argv[1], argv[2], session, argv[i]))
			return 1;
	puts("kept");
	fflush(stdout);
	for (;;)
		pause();
}
