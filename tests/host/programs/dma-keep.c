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
#include <linux/iommufd.h>
#include <linux/memfd.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/pci_sysfs.h"
#include "base/util.h"
#include "dma-keep.h"
#include "luo/client.h"

static void say(const char *what)
{
	printf("%s\n", what);
	fflush(stdout);
}

/* The call must fail with that errno. */
static void refused(int result, int expected, const char *what)
{
	if (result >= 0 || errno != expected) {
		printf("failed: %s: %s, expected %s\n", what,
		       result >= 0 ? "it succeeds" : strerror(errno), strerror(expected));
		exit(1);
	}
	printf("refused: %s: %s\n", what, strerror(expected));
	fflush(stdout);
}

static void check(const struct error *err, int result)
{
	if (result < 0) {
		printf("failed: %s\n", error_message(err));
		exit(1);
	}
}

/* -- the device ----------------------------------------------------------------------------------
 */

static int open_path(const char *address)
{
	struct error err = ERROR_INIT;
	char path[PATH_MAX];

	check(&err, pci_sysfs_find_vfio("", address, path, &err));
	return open(path, O_RDWR | O_CLOEXEC);
}

static int bind(const struct keep *k)
{
	struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = k->io};

	return ioctl(k->device, VFIO_DEVICE_BIND_IOMMUFD, &bind);
}

static int attach(const struct keep *k)
{
	struct vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach), .pt_id = k->ioas};

	return ioctl(k->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
}

static int detach(const struct keep *k)
{
	struct vfio_device_detach_iommufd_pt detach = {.argsz = sizeof(detach)};

	return ioctl(k->device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach);
}

static int map_at(const struct keep *k, unsigned int piece, uint64_t iova)
{
	struct iommu_ioas_map_file map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE |
			 IOMMU_IOAS_MAP_READABLE,
		.ioas_id = k->ioas,
		.fd = k->pieces[piece].fd,
		.length = PIECE_SIZE,
		.iova = iova,
	};

	return ioctl(k->io, IOMMU_IOAS_MAP_FILE, &map);
}

static int unmap(const struct keep *k, uint64_t iova)
{
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap), .ioas_id = k->ioas, .iova = iova, .length = PIECE_SIZE};

	return ioctl(k->io, IOMMU_IOAS_UNMAP, &unmap);
}

static void make_ioas(struct keep *k)
{
	struct iommu_ioas_alloc alloc = {.size = sizeof(alloc)};

	if (ioctl(k->io, IOMMU_IOAS_ALLOC, &alloc) < 0)
		keep_fail("IOMMU_IOAS_ALLOC");
	k->ioas = alloc.out_ioas_id;
}

static void map_all(const struct keep *k)
{
	for (unsigned int i = 0; i < PIECES; i++)
		if (map_at(k, i, IOVA + i * PIECE_SIZE) < 0)
			keep_fail("IOMMU_IOAS_MAP_FILE");
}

static void map_registers(struct keep *k)
{
	struct vfio_region_info bar = {.argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX};
	struct vfio_region_info config = {.argsz = sizeof(config),
					  .index = VFIO_PCI_CONFIG_REGION_INDEX};

	if (ioctl(k->device, VFIO_DEVICE_GET_REGION_INFO, &bar) < 0 ||
	    ioctl(k->device, VFIO_DEVICE_GET_REGION_INFO, &config) < 0)
		keep_fail("VFIO_DEVICE_GET_REGION_INFO");
	k->config = (off_t)config.offset;
	k->bar = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, k->device,
		      (off_t)bar.offset);
	if (k->bar == MAP_FAILED)
		keep_fail("mmap of the BAR");
}

static uint16_t command(const struct keep *k)
{
	uint16_t value = 0;

	if (pread(k->device, &value, sizeof(value), k->config + PCI_COMMAND) != sizeof(value))
		keep_fail("configuration space");
	return value;
}

static void switch_on(const struct keep *k)
{
	uint16_t value = command(k) | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

	if (pwrite(k->device, &value, sizeof(value), k->config + PCI_COMMAND) != sizeof(value))
		keep_fail("configuration space");
}

static void rest(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static void dma(const struct keep *k, uint64_t from, uint64_t to, uint64_t direction)
{
	volatile uint64_t *start = (volatile uint64_t *)(k->bar + EDU_DMA_START);

	*(volatile uint64_t *)(k->bar + EDU_DMA_FROM) = from;
	*(volatile uint64_t *)(k->bar + EDU_DMA_TO) = to;
	*(volatile uint64_t *)(k->bar + EDU_DMA_COUNT) = PAGE;
	*start = EDU_DMA_RUN | direction;
	for (unsigned int i = 0; i < TRIES && (*start & EDU_DMA_RUN); i++)
		rest();
	if (*start & EDU_DMA_RUN) {
		errno = ETIMEDOUT;
		keep_fail("DMA");
	}
}

/* It writes what is in its buffer to that page. */
static void use_device(const struct keep *k, unsigned int page, const char *when)
{
	uint64_t pattern[PAGE / 8];

	keep_fill_page(pattern, 0);
	memset(keep_page(k, page), 0, PAGE);
	dma(k, EDU_BUFFER, IOVA + (uint64_t)page * PAGE, EDU_DMA_TO_RAM);
	if (memcmp(keep_page(k, page), pattern, PAGE) != 0) {
		printf("failed: %s: DMA did not reach page %u\n", when, page);
		exit(1);
	}
	keep_fill_page((uint64_t *)keep_page(k, page), page);
	printf("dma: %s\n", when);
	fflush(stdout);
}

static void open_device(struct keep *k, const char *address)
{
	k->device = open_path(address);
	if (k->device < 0 || bind(k) < 0 || attach(k) < 0)
		keep_fail(address);
	map_registers(k);
	switch_on(k);
	*(volatile uint32_t *)(k->bar + EDU_LIVE) = LIVE_VALUE;
	dma(k, IOVA, EDU_BUFFER, 0);
	use_device(k, LAST_PAGE, "at first");
}

static void open_all(struct keep *k, const char *address)
{
	keep_make_memory(k);
	k->io = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (k->io < 0)
		keep_fail("/dev/iommu");
	make_ioas(k);
	map_all(k);
	open_device(k, address);
}

/* -- the old kernel ------------------------------------------------------------------------------
 */

static int preserve(const struct keep *k, int fd, uint64_t token)
{
	struct error err = ERROR_INIT;
	int r = luo_session_preserve_fd(k->session, fd, token, "it", &err);

	errno = -r;
	return r;
}

static void preserve_iommufd(const struct keep *k)
{
	for (unsigned int i = 0; i < PIECES; i++)
		if (preserve(k, k->pieces[i].fd, TOKEN_MEMORY + i) < 0)
			keep_fail("preserving memory");
	if (preserve(k, k->io, TOKEN_IOMMUFD) < 0)
		keep_fail("preserving the iommufd");
}

static void preserve_all(const struct keep *k)
{
	preserve_iommufd(k);
	if (preserve(k, k->device, TOKEN_DEVICE) < 0)
		keep_fail("preserving the device");
}

static void fixed(const struct keep *k)
{
	refused(unmap(k, IOVA), EBUSY, "unmapping");
	refused(map_at(k, 0, IOVA + PIECES * PIECE_SIZE), EBUSY, "mapping");
	refused(attach(k), EBUSY, "attaching");
	refused(detach(k), EBUSY, "detaching");
}

static void make_session(struct keep *k, const char *name)
{
	struct error err = ERROR_INIT;

	check(&err, luo_session_create(name, LUO_OPEN_TIMEOUT_MS, &k->session, &err));
}

static void wait_for_signal(void)
{
	sigset_t set;
	int got;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	say("kept");
	sigwait(&set, &got);
}

/* The same session, memory and iommufd, and another device; second: NULL: there is none. */
static void begin_second(const struct keep *k, struct keep *other, const char *second)
{
	if (!second)
		return;
	*other = *k;
	open_device(other, second);
}

static void preserve_second(const struct keep *other, const char *second)
{
	if (second && preserve(other, other->device, TOKEN_DEVICE + 1) < 0)
		keep_fail("preserving the second device");
}

static int begin(const char *session, const char *address, const char *folder, const char *second)
{
	struct keep k = {0}, other;

	open_all(&k, address);
	make_session(&k, session);
	begin_second(&k, &other, second);
	preserve_all(&k);
	preserve_second(&other, second);
	fixed(&k);
	use_device(&k, LAST_PAGE, "while it is preserved");
	keep_write_frames(&k, folder, session);
	wait_for_signal();
	use_device(&k, LAST_PAGE, "after a reboot that failed, or none");
	close(k.session);
	use_device(&k, LAST_PAGE, "after the session is closed");
	if (unmap(&k, IOVA + PIECE_SIZE) < 0 || map_at(&k, 1, IOVA + PIECE_SIZE) < 0)
		keep_fail("mapping after the session is closed");
	use_device(&k, LAST_PAGE, "after mapping anew");
	if (detach(&k) < 0 || attach(&k) < 0)
		keep_fail("attaching after the session is closed");
	use_device(&k, LAST_PAGE, "after attaching anew");
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
	for (unsigned int i = 0; i < PIECES; i++)
		if (preserve(&k, k.pieces[i].fd, TOKEN_MEMORY + i) < 0)
			keep_fail("preserving memory");
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

static void take_session(struct keep *k, const char *name)
{
	struct error err = ERROR_INIT;

	check(&err, luo_session_retrieve(name, LUO_OPEN_TIMEOUT_MS, &k->session, &err));
}

static int take_fd(const struct keep *k, uint64_t token, const char *what)
{
	struct error err = ERROR_INIT;
	int fd;

	check(&err, luo_session_retrieve_fd(k->session, token, what, &fd, &err));
	return fd;
}

static int finish(const struct keep *k)
{
	struct error err = ERROR_INIT;
	int r = luo_session_finish(k->session, &err);

	errno = -r;
	return r;
}

static void take_files(struct keep *k)
{
	for (unsigned int i = 0; i < PIECES; i++) {
		k->pieces[i].fd = take_fd(k, TOKEN_MEMORY + i, "memory");
		keep_map_piece(&k->pieces[i], false);
	}
	k->io = take_fd(k, TOKEN_IOMMUFD, "the iommufd");
	k->device = take_fd(k, TOKEN_DEVICE, "the device");
}

static void check_device(const struct keep *k)
{
	printf("device: command 0x%04x, %s\n", command(k),
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
	if (bind(other) < 0 || attach(other) < 0)
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
	if (bind(&k) < 0)
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
	preserve_second(&other, second);
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
	if (bind(&k) < 0)
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
	const char *what = argc > 2 ? argv[1] : "", *text = getenv("DMA_KEEP_SEED");

	if (text)
		keep_seed = strtoull(text, NULL, 0);
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
