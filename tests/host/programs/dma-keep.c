// SPDX-License-Identifier: Apache-2.0
/*
 * dma-keep: what a VMM does with a passed-through device across a live update, without a VMM. The
 * device is QEMU's edu (its docs/specs/edu.rst), bound to vfio-pci.
 *
 *   dma-keep begin SESSION ADDRESS FOLDER [ADDRESS]
 *                                           opens the device, lets it do DMA, preserves memory,
 *                                           iommufd and device in that session, and the second
 *                                           device; says "kept" and keeps it. SIGUSR1: closes the
 *                                           session, uses the device again, and ends
 *   dma-keep order ADDRESS                  each wrong order, and what the kernel says
 *   dma-keep again ADDRESS COUNT            so many times: preserves all, closes the session
 *   dma-keep open ADDRESS                   only opens the device by its path and binds it
 *   dma-keep shares ADDRESS                 a device that cannot be preserved, and what is said
 *   dma-keep take SESSION ADDRESS [ADDRESS] in the next kernel: takes all of it back, and finishes
 *   dma-keep leave SESSION                  finishes without having taken anything
 *   dma-keep let-go SESSION                 takes the device, and closes the session
 *
 * DMA_KEEP_SEED in the environment makes the bytes of its pages others than those of other runs.
 * FOLDER gets "frames-SESSION": the page frame of each page at IOVA, 64 bits each. Page 0 holds the
 * pattern that the device has in its buffer.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dma-device.h"
#include "dma-keep.h"

static void fixed(const struct keep *k)
{
	refused(unmap(k, IOVA), EBUSY, "unmapping");
	refused(map_at(k, 0, IOVA + PIECES * PIECE_SIZE), EBUSY, "mapping");
	refused(attach(k), EBUSY, "attaching");
	refused(detach(k), EBUSY, "detaching");
}

/* The same session, memory and iommufd, and another device; second: NULL: there is none. */
static void begin_second(const struct keep *k, struct keep *other, const char *second)
{
	if (!second)
		return;
	*other = *k;
	open_device(other, second);
}

static void preserve_second(const struct keep *k, const struct keep *other, const char *second)
{
	if (second && preserve(k, other->device, TOKEN_DEVICE + 1) < 0)
		keep_fail("preserving the second device");
}

static int begin(const char *session, const char *address, const char *folder, const char *second)
{
	struct keep k = {0}, other;

	open_all(&k, address);
	make_session(&k, session);
	begin_second(&k, &other, second);
	preserve_all(&k);
	preserve_second(&k, &other, second);
	fixed(&k);
	keep_until_told(&k, folder, session);
	return 0;
}

/* Memory that the session does not keep must not stay within a device's reach. */
static int order(const char *address)
{
	struct keep k = {0};

	open_all(&k, address);
	make_session(&k, "order");
	refused(preserve(&k, k.device, TOKEN_DEVICE), EINVAL, "a device before its iommufd");
	refused(preserve(&k, k.io, TOKEN_IOMMUFD), EINVAL, "an iommufd before its memory");
	if (preserve(&k, k.pieces[0].fd, TOKEN_MEMORY) < 0)
		keep_fail("preserving memory");
	refused(preserve(&k, k.io, TOKEN_IOMMUFD), EINVAL, "an iommufd before all of its memory");
	close(k.session);
	use_device(&k, LAST_PAGE, "after what was refused");
	/* The mapping keeps the page that was, the file has none there. */
	if (fallocate(k.pieces[1].fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) < 0)
		keep_fail("fallocate");
	make_session(&k, "hole");
	preserve_memory(&k);
	refused(preserve(&k, k.io, TOKEN_IOMMUFD), ESTALE,
		"an iommufd with a page that left its file");
	close(k.session);
	if (detach(&k) < 0)
		keep_fail("detaching");
	make_session(&k, "detached");
	refused(preserve(&k, k.device, TOKEN_DEVICE), EINVAL, "a device that is not attached");
	return 0;
}

static int shares(const char *address)
{
	struct keep k = {0};

	open_all(&k, address);
	make_session(&k, "shares");
	preserve_iommufd(&k);
	refused(preserve(&k, k.device, TOKEN_DEVICE), EOPNOTSUPP,
		"a device that others share a requester ID with");
	close(k.session);
	use_device(&k, LAST_PAGE, "after that");
	return 0;
}

static int again(const char *address, unsigned long count)
{
	struct keep k = {0};

	open_all(&k, address);
	for (unsigned long i = 0; i < count; i++) {
		make_session(&k, "again");
		preserve_all(&k);
		close(k.session);
	}
	use_device(&k, LAST_PAGE, "after it was preserved again and again");
	return 0;
}

/* -- the new kernel ------------------------------------------------------------------------------
 */

static void check_device(const struct keep *k)
{
	printf("device: command 0x%04x, %s\n", command_register(k),
	       *(volatile uint32_t *)(k->bar + EDU_LIVE) == ~LIVE_VALUE ? "not reset"
									: "was reset");
	use_device(k, LAST_PAGE, "before it is finished");
}

/* It is attached to what the first one has been attached to already. */
static void take_second(const struct keep *k, struct keep *other, const char *second)
{
	if (!second)
		return;
	*other = *k;
	refused(open_path(second), EBUSY, "opening the second device by its path");
	other->device = take_fd(k, TOKEN_DEVICE + 1, "the second device");
	refused(finish(k), EBUSY, "finishing before the second device is bound");
	if (bind_iommufd(other) < 0 || attach(other) < 0)
		keep_fail("attaching the second device");
	map_registers(other);
	check_device(other);
}

static int take(const char *session, const char *address, const char *second)
{
	struct keep k = {0}, other;

	take_session(&k, session);
	refused(open_path(address), EBUSY, "opening the device by its path");
	take_files(&k);
	keep_check_memory(&k);
	refused(finish(&k), EBUSY, "finishing before the device is bound");
	if (bind_iommufd(&k) < 0)
		keep_fail("VFIO_DEVICE_BIND_IOMMUFD");
	make_ioas(&k);
	refused(attach(&k), EUCLEAN, "attaching to nothing");
	/* The second piece is missing, then it is at the wrong place. */
	if (map_at(&k, 0, IOVA) < 0)
		keep_fail("IOMMU_IOAS_MAP_FILE");
	refused(attach(&k), EUCLEAN, "attaching to a part");
	refused(finish(&k), EBUSY, "finishing before the device is attached");
	if (map_at(&k, 1, IOVA + PIECE_SIZE) < 0 || attach(&k) < 0)
		keep_fail("attaching");
	map_registers(&k);
	check_device(&k);
	take_second(&k, &other, second);
	if (finish(&k) < 0)
		keep_fail("FINISH");
	use_device(&k, LAST_PAGE, "after it is finished");
	keep_check_memory(&k);
	say("taken");
	/* The next update may follow. */
	close(k.session);
	make_session(&k, session);
	preserve_all(&k);
	preserve_second(&k, &other, second);
	use_device(&k, LAST_PAGE, "while it is preserved again");
	wait_for_signal();
	return 0;
}

static int leave(const char *session)
{
	struct keep k = {0};

	take_session(&k, session);
	if (finish(&k) < 0)
		keep_fail("FINISH");
	say("left");
	return 0;
}

/* As a VMM that dies: nobody else has what it had. */
static int let_go(const char *session)
{
	struct keep k = {0};

	take_session(&k, session);
	take_files(&k);
	if (bind_iommufd(&k) < 0)
		keep_fail("VFIO_DEVICE_BIND_IOMMUFD");
	say("let go");
	return 0;
}

static int open_only(const char *address)
{
	struct keep k = {.device = open_path(address)};

	if (k.device < 0)
		keep_fail("opening the device by its path");
	open_all(&k, address);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";

	take_seed();
	if (strcmp(what, "begin") == 0 && argc >= 5)
		return begin(argv[2], argv[3], argv[4], argv[5]);
	if (strcmp(what, "order") == 0)
		return order(argv[2]);
	if (strcmp(what, "again") == 0 && argc == 4)
		return again(argv[2], strtoul(argv[3], NULL, 0));
	if (strcmp(what, "open") == 0)
		return open_only(argv[2]);
	if (strcmp(what, "shares") == 0)
		return shares(argv[2]);
	if (strcmp(what, "take") == 0 && argc >= 4)
		return take(argv[2], argv[3], argv[4]);
	if (strcmp(what, "leave") == 0)
		return leave(argv[2]);
	if (strcmp(what, "let-go") == 0)
		return let_go(argv[2]);
	fprintf(stderr, "Usage: dma-keep begin|order|again|open|shares|take|leave|let-go ...\n");
	return 2;
}
