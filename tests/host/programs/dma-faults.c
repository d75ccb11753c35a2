// SPDX-License-Identifier: Apache-2.0
/*
 * dma-faults: each step of preserving a device, and of taking it back, while the kernel fails in
 * it; and that nothing has changed after that. The device is that of dma-keep.
 *
 *   dma-faults keep SESSION ADDRESS FOLDER [sweep]
 *                             as dma-keep begin; what is refused is tried again
 *   dma-faults freeze ADDRESS [sweep]
 *                             reboot(KEXEC), which must be refused each time
 *   dma-faults take SESSION ADDRESS [N BIND ATTACH]
 *                             in the next kernel; what is refused is tried again, but for
 *                             RETRIEVE_FD, where LUO keeps the error
 *
 * Without the last words the failures come from outside (lib/gdb.py). With them the kernel fails in
 * the N-th allocation of each step (Documentation/fault-injection/fault-injection.rst, fail-nth):
 * "sweep" tries 1, 2 and so on until there is none left; "take" fails in allocation N of each
 * RETRIEVE_FD, and begins with BIND and ATTACH in the steps of that name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "base/util.h"
#include "dma-device.h"
#include "dma-keep.h"
#include "luo/client.h"

/* One that is refused so often is broken. */
#define TRIES_MAX 400U
/* Mapping and attaching anew takes long. */
#define CHANGE_EVERY 8U
#define CONFIG	     64

struct step {
	const char *name;
	unsigned int nth; /* 0: no failure is asked for */
	bool hit;	  /* the allocation was reached, and failed */
	int armed;	  /* fail-nth, from before the call until after it */
};

/* -- failing on purpose ------------------------------------------------------------------------ */

static int fail_nth(void)
{
	int fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		keep_fail("this kernel has no fail-nth");
	return fd;
}

/* Opened here: to open it afterwards is a system call that allocates, and so may be the one to
 * fail. */
static void arm(struct step *step)
{
	char text[16];

	step->armed = step->nth ? fail_nth() : FD_NONE;
	snprintf(text, sizeof(text), "%u", step->nth);
	if (step->nth && write(step->armed, text, strlen(text)) < 0)
		keep_fail("fail-nth");
}

/* What the call has made of it; errno stays. */
static void disarm(struct step *step)
{
	int saved = errno;
	_cleanup_fd_ int fd = step->armed;
	char text[16] = "";

	step->hit = false;
	step->armed = FD_NONE;
	if (fd >= 0) {
		if (pread(fd, text, sizeof(text) - 1, 0) <= 0 || pwrite(fd, "0", 1, 0) != 1)
			keep_fail("fail-nth");
		step->hit = strtoul(text, NULL, 10) == 0;
	}
	errno = saved;
}

/* Errors that a failure on purpose may end in; EBUSY is can_finish's own. */
static void say_refused(const struct step *step)
{
	if (errno != ENOMEM && errno != ENOENT && errno != EBUSY) {
		printf("failed: %s (allocation %u): %s\n", step->name, step->nth, strerror(errno));
		exit(1);
	}
	printf("refused: %s (allocation %u): %s\n", step->name, step->nth, strerror(errno));
	fflush(stdout);
}

/* True if there is no more to be tried. */
static bool step_over(struct step *step, int result)
{
	if (step->nth > TRIES_MAX) {
		printf("failed: %s: no end of failures\n", step->name);
		exit(1);
	}
	if (result < 0)
		say_refused(step);
	else if (step->hit)
		printf("went on: %s (allocation %u)\n", step->name, step->nth);
	if (step->nth && (result < 0 || step->hit))
		step->nth++;
	return result >= 0 && !step->hit;
}

static void say_end(const struct step *step)
{
	printf("done: %s: each of %u allocations has failed\n", step->name,
	       step->nth ? step->nth - 1 : 0);
	fflush(stdout);
}

/* -- the device is as it was ------------------------------------------------------------------- */

static void read_config(const char *address, uint8_t *bytes)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", address);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, bytes, CONFIG) != CONFIG)
		keep_fail(path);
	close(fd);
}

static void same_config(const char *address, const uint8_t *before, const char *when)
{
	uint8_t now[CONFIG];

	read_config(address, now);
	for (unsigned int i = 0; i < CONFIG; i++) {
		if (now[i] == before[i])
			continue;
		printf("failed: %s: byte 0x%02x of the configuration space is 0x%02x, was 0x%02x\n",
		       when, i, now[i], before[i]);
		exit(1);
	}
}

static void as_before(const struct keep *k, const char *address, const uint8_t *config,
		      const struct step *step)
{
	char when[128];

	snprintf(when, sizeof(when), "after %s", step->name);
	use_device(k, LAST_PAGE, when);
	same_config(address, config, when);
}

/* -- the old kernel ---------------------------------------------------------------------------- */

/* A session with all that comes before the step. */
static int try_preserve(struct keep *k, const char *session, struct step *step, bool device)
{
	int r;

	make_session(k, session);
	preserve_memory(k);
	if (device) {
		struct step before = {.name = "preserving the iommufd"};

		while (!step_over(&before, preserve(k, k->io, TOKEN_IOMMUFD)))
			;
	}
	arm(step);
	r = preserve(k, device ? k->device : k->io, device ? TOKEN_DEVICE : TOKEN_IOMMUFD);
	disarm(step);
	return r;
}

static void preserve_step(struct keep *k, const char *session, const char *address,
			  struct step *step, bool device)
{
	uint8_t config[CONFIG];

	read_config(address, config);
	while (!step_over(step, try_preserve(k, session, step, device))) {
		as_before(k, address, config, step);
		close(k->session);
		if (step->nth % CHANGE_EVERY == 0)
			change_all(k);
	}
	say_end(step);
}

static int keep(const char *session, const char *address, const char *folder, bool sweep)
{
	struct step io = {.name = "preserving the iommufd", .nth = sweep};
	struct step device = {.name = "preserving the device", .nth = sweep};
	struct keep k = {0};

	open_all(&k, address);
	preserve_step(&k, session, address, &io, false);
	close(k.session);
	preserve_step(&k, session, address, &device, true);
	keep_until_told(&k, folder, session);
	return 0;
}

/* Something else refuses in the end, so that it never succeeds. */
static int freeze(const char *address, bool sweep)
{
	struct step step = {.name = "reboot(KEXEC)", .nth = sweep};
	uint8_t config[CONFIG];

	read_config(address, config);
	do {
		arm(&step);
		if (reboot(RB_KEXEC) == 0)
			keep_fail("the kernel says that it was replaced");
		disarm(&step);
		printf("refused: %s (allocation %u): %s\n", step.name, step.nth, strerror(errno));
		same_config(address, config, "after reboot(KEXEC) was refused");
		step.nth += step.hit;
	} while (step.hit && step.nth <= TRIES_MAX);
	say_end(&step);
	return 0;
}

/* -- the new kernel ---------------------------------------------------------------------------- */

static int try_take(struct keep *k, struct step *step, uint64_t token)
{
	struct error err = ERROR_INIT;
	int r, fd = -1;

	arm(step);
	r = luo_session_retrieve_fd(k->session, token, step->name, &fd, &err);
	disarm(step);
	errno = -r;
	if (r >= 0)
		return fd;
	say_refused(step);
	refused(luo_session_retrieve_fd(k->session, token, step->name, &fd, &err) < 0 ? -1 : 0,
		ENOMEM, "a second try");
	return -1;
}

/* FINISH stops what was not taken. */
static int give_up(struct keep *k)
{
	close(k->io);
	close(k->device);
	if (finish(k) < 0)
		keep_fail("FINISH");
	say("gave up");
	return 0;
}

static void bind_step(struct keep *k, const char *address, struct step *step)
{
	uint8_t config[CONFIG];
	int r;

	read_config(address, config);
	do {
		arm(step);
		r = bind_iommufd(k);
		disarm(step);
		same_config(address, config, step->name);
	} while (!step_over(step, r) && r < 0);
	say_end(step);
}

static void attach_step(struct keep *k, const char *address, struct step *step)
{
	uint8_t config[CONFIG];
	int r;

	read_config(address, config);
	do {
		arm(step);
		r = attach(k);
		disarm(step);
		as_before(k, address, config, step);
	} while (!step_over(step, r) && r < 0);
	say_end(step);
}

static void finish_step(struct keep *k, struct step *step)
{
	int r;

	do {
		arm(step);
		r = finish(k);
		disarm(step);
		use_device(k, LAST_PAGE, "after FINISH");
	} while (!step_over(step, r) && r < 0);
	say_end(step);
}

static int take(const char *session, const char *address, const unsigned int *from)
{
	struct step io = {.name = "taking the iommufd", .nth = from[0]};
	struct step device = {.name = "taking the device", .nth = from[0]};
	struct step binding = {.name = "BIND_IOMMUFD", .nth = from[1]};
	struct step attaching = {.name = "ATTACH_IOMMUFD_PT", .nth = from[2]};
	struct step finishing = {.name = "FINISH", .nth = from[0] ? 1 : 0};
	struct keep k = {0};

	take_session(&k, session);
	take_memory(&k);
	keep_check_memory(&k);
	k.io = try_take(&k, &io, TOKEN_IOMMUFD);
	k.device = try_take(&k, &device, TOKEN_DEVICE);
	if (k.io < 0 || k.device < 0)
		return give_up(&k);
	bind_step(&k, address, &binding);
	map_registers(&k);
	make_ioas(&k);
	map_all(&k);
	attach_step(&k, address, &attaching);
	finish_step(&k, &finishing);
	keep_check_memory(&k);
	close(k.session);
	change_all(&k);
	say("taken");
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	bool sweep = argc > 3 && strcmp(argv[argc - 1], "sweep") == 0;
	unsigned int from[3] = {0};

	take_seed();
	for (int i = 0; argc == 7 && i < 3; i++)
		from[i] = (unsigned int)strtoul(argv[4 + i], NULL, 0);
	if (strcmp(what, "keep") == 0 && argc == 5 + sweep)
		return keep(argv[2], argv[3], argv[4], sweep);
	if (strcmp(what, "freeze") == 0 && argc == 3 + sweep)
		return freeze(argv[2], sweep);
	if (strcmp(what, "take") == 0 && (argc == 4 || argc == 7))
		return take(argv[2], argv[3], from);
	fprintf(stderr, "Usage: dma-faults keep|freeze|take ...\n");
	return 2;
}
