// SPDX-License-Identifier: Apache-2.0
/* What the guest asks of its kernel: its log, modules, the power button, the end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest.h"

/* Parts of messages that a healthy guest's kernel does not write. */
static const char *const alarms[] = {
	"lockup",
	"self-detected stall",
	"detected stalls",
	"rcu: INFO:",
	"blocked for more than",
	"TSC ADJUST differs",
	"TSC warp",
	"tsc_warp",
	"Machine check events",
	"[Hardware Error]",
	"Oops:",
	"BUG:",
	"WARNING:",
	"general protection",
	"Call Trace",
	"Kernel panic",
	"nobody cared",
	"APIC error",
	"unchecked MSR",
	"Bad page",
	"Out of memory",
	"not responding",
	"I/O error",
	"EXT4-fs error",
};

/* A kernel may find that out while it boots, on a CPU whose TSC does not promise to be constant;
 * never later. Its watchdog also says when it could not compare two clocks, because the CPU was
 * taken from it in between or it ran late ("Long readout interval"): that is nothing. It runs late
 * when it is the first to read kvmclock after a pause, and so to be told of it. */
static const char *const alarms_once_up[] = {
	"unstable",
	"Fast TSC calibration failed",
};

/* The watchdog of clocksources wants to look every half second. When the CPU was taken from it, it
 * looks twice within microseconds, and takes what the looking takes for a wrong frequency. */
#define SHORT_LOOK_NS 10000000ULL

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* The first message of the log that was written once the guest was up. */
static uint64_t up_sequence;

static bool alarming(const char *text, bool up)
{
	for (size_t i = 0; i < COUNT_OF(alarms); i++)
		if (strcasestr(text, alarms[i]))
			return true;
	for (size_t i = 0; up && i < COUNT_OF(alarms_once_up); i++)
		if (strcasestr(text, alarms_once_up[i]))
			return true;
	return false;
}

/* What it says next to each other: that two frequencies differ, over which time by each of the two
 * clocks, and what follows from it. */
struct skew_story {
	char verdict[256];
	unsigned int looks;
	bool excused;
};

/* True if the message belongs to a story that is not over or that is nothing. Sets *told to the
 * verdict when the message shows that it is right. */
static bool skew_excuses(struct skew_story *story, const char *text, const char **told)
{
	const char *interval = strstr(text, " interval: ");

	*told = NULL;
	if (strstr(text, "unstable due to frequency skew")) {
		*story = (struct skew_story){.looks = 2};
		snprintf(story->verdict, sizeof(story->verdict), "%s", text);
		return true;
	}
	if (story->looks && interval) {
		if (strtoull(interval + strlen(" interval: "), NULL, 10) >= SHORT_LOOK_NS) {
			story->looks = 0;
			*told = story->verdict;
			return true;
		}
		story->excused = --story->looks == 0;
		return true;
	}
	return story->excused && strstr(text, "unstable due to clocksource watchdog");
}

void kmsg_mark_up(void)
{
	uint64_t total;

	up_sequence = UINT64_MAX;
	kmsg_check(&total);
	up_sequence = total;
}

unsigned int kmsg_check(uint64_t *total)
{
	struct skew_story story = {.looks = 0};
	unsigned int found = 0;
	char record[8192];
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	*total = 0;
	if (fd < 0) {
		say("fault kind=kmsg errno=%d", errno);
		return 1;
	}
	for (;;) {
		ssize_t n = read(fd, record, sizeof(record) - 1);
		uint64_t sequence;
		const char *told;
		char *text, *comma;
		bool up;

		if (n < 0 && errno == EPIPE)
			continue; /* overwritten while it was read: the next one */
		if (n <= 0)
			break;
		record[n] = '\0';
		record[strcspn(record, "\n")] = '\0';
		text = strchr(record, ';');
		/* "priority,sequence,time,flags;text" (Documentation/ABI/testing/dev-kmsg). */
		comma = strchr(record, ',');
		sequence = comma ? strtoull(comma + 1, NULL, 10) : 0;
		*total = sequence + 1;
		if (!text)
			continue;
		text++;
		up = sequence >= up_sequence;
		if (!up || !skew_excuses(&story, text, &told))
			told = alarming(text, up) ? text : NULL;
		if (told) {
			found++;
			say("kmsg %s", told);
		}
	}
	close(fd);
	return found;
}

void modules_load(void)
{
	struct dirent **names;
	int count = scandir("/modules", &names, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		char path[512];
		int fd;

		snprintf(path, sizeof(path), "/modules/%s", names[i]->d_name);
		fd = strstr(path, ".ko") ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		if (fd >= 0 && syscall(SYS_finit_module, fd, "", 0) < 0)
			say("fault kind=module name=%s errno=%d", names[i]->d_name, errno);
		if (fd >= 0)
			close(fd);
		free(names[i]);
	}
	if (count >= 0)
		free(names);
}

static bool has_power_key(int fd)
{
	unsigned char keys[KEY_MAX / 8 + 1] = {0};

	return ioctl(fd, EVIOCGBIT(EV_KEY, sizeof(keys)), keys) >= 0 &&
	       (keys[KEY_POWER / 8] & (1U << (KEY_POWER % 8)));
}

unsigned int power_open(int *fds, unsigned int max)
{
	unsigned int count = 0;

	for (int i = 0; i < 16 && count < max; i++) {
		char path[32];
		int fd;

		snprintf(path, sizeof(path), "/dev/input/event%d", i);
		fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (has_power_key(fd))
			fds[count++] = fd;
		else
			close(fd);
	}
	return count;
}

bool power_pressed(int fd)
{
	struct input_event event;
	bool pressed = false;

	while (read(fd, &event, sizeof(event)) == sizeof(event))
		if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1)
			pressed = true;
	return pressed;
}

void leave(const char *how)
{
	int command = RB_POWER_OFF;

	root_leave();
	say("bye how=%s counter=%lu", how, counter_value());
	say_drain();
	sync();
	if (!strcmp(how, "panic"))
		_exit(1); /* PID 1 must not end */
	if (!strcmp(how, "reboot"))
		command = RB_AUTOBOOT;
	if (!strcmp(how, "halt"))
		command = RB_HALT_SYSTEM;
	reboot(command);
	say("fault kind=leave errno=%d", errno);
}
