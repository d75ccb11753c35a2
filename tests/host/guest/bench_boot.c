// SPDX-License-Identifier: Apache-2.0
/*
 * Where the boot of this guest went: what its kernel said of each initcall ("initcall_debug" on its
 * command line), each said again as "initcall name=... us=...". The answer "bench what=boot" has
 * in ns when the kernel started PID 1, by its own clock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

/* "initcall NAME+0x0/0x10 returned 0 after 123 usecs" */
static bool read_initcall(const char *text, char name[64], uint64_t *us)
{
	const char *after = strstr(text, " after ");

	if (sscanf(text, "initcall %63[^+]+", name) != 1 || !after)
		return false;
	*us = strtoull(after + strlen(" after "), NULL, 10);
	return true;
}

void bench_boot(uint64_t shown_us)
{
	uint64_t count = 0, started_us = 0;
	char record[8192];
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		say("fault kind=kmsg errno=%d", errno);
		return;
	}
	for (;;) {
		ssize_t n = read(fd, record, sizeof(record) - 1);
		uint64_t stamp_us = 0, us;
		char name[64], *text;

		if (n < 0 && errno == EPIPE)
			continue; /* overwritten while it was read: the next one */
		if (n <= 0)
			break;
		record[n] = '\0';
		/* "priority,sequence,time,flags;text" (Documentation/ABI/testing/dev-kmsg). */
		text = strchr(record, ';');
		if (!text || sscanf(record, "%*u,%*u,%lu", &stamp_us) != 1)
			continue;
		text++;
		if (!strncmp(text, "Run /init", strlen("Run /init")))
			started_us = stamp_us;
		if (!read_initcall(text, name, &us))
			continue;
		count++;
		if (us >= shown_us)
			say("initcall name=%s us=%lu", name, us);
	}
	close(fd);
	say("bench what=boot count=%lu bytes=0 ns=%lu wrong=%d", count, started_us * 1000,
	    count == 0 || started_us == 0);
}
