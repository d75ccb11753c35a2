// SPDX-License-Identifier: Apache-2.0
/*
 * dma-keep: what a VMM does with a passed-through device across a live update, without a VMM. The
 * device is QEMU's edu (its docs/specs/edu.rst), bound to vfio-pci.
 *
 *   dma-keep begin SESSION ADDRESS FOLDER   opens the device, lets it do DMA, preserves memory,
 *                                           iommufd and device in that session; says "kept" and
 *                                           keeps it. SIGUSR1: closes the session, uses the device
 *                                           again, and ends
 *   dma-keep order ADDRESS                  each wrong order, and what the kernel says
 *   dma-keep open ADDRESS                   only opens the device by its path and binds it
 *   dma-keep take SESSION ADDRESS           in the next kernel: takes all of it back, and finishes
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

static uint64_t seed = PATTERN_SEED;

struct keep {
	int session, io, device;
	uint32_t ioas;
	struct piece {
		int fd;
		uint8_t *memory;
	} pieces[PIECES];
	volatile uint8_t *bar;
	off_t config;
};

_Noreturn static void fail(const char *what)
{
	printf("failed: %s: %s\n", what, strerror(errno));
	exit(1);
}

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

/* -- memory --------------------------------------------------------------------------------------
 */

static uint8_t *page_at(const struct keep *k, unsigned int page)
{
	return k->pieces[page / PIECE_PAGES].memory + (size_t)(page % PIECE_PAGES) * PAGE;
}

static void fill_page(uint64_t *words, unsigned int page)
{
	uint64_t state = seed + page;

	for (unsigned int i = 0; i < PAGE / sizeof(*words); i++) {
		state = state * PATTERN_FACTOR + PATTERN_STEP;
		words[i] = state;
	}
}

/* One piece is of huge pages, one of small ones. */
static void map_piece(struct piece *piece, bool huge)
{
	uint8_t *room =
		mmap(NULL, PIECE_SIZE + HUGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *aligned = (uint8_t *)ALIGN_UP((uintptr_t)room, (uintptr_t)HUGE_SIZE);

	piece->memory = mmap(aligned, PIECE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			     piece->fd, 0);
	if (room == MAP_FAILED || piece->memory == MAP_FAILED ||
	    (huge && madvise(piece->memory, PIECE_SIZE, MADV_HUGEPAGE) < 0))
		fail("mmap");
}

static void make_memory(struct keep *k)
{
	for (unsigned int i = 0; i < PIECES; i++) {
		k->pieces[i].fd =
			memfd_create("dma-keep", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
		if (k->pieces[i].fd < 0 || ftruncate(k->pieces[i].fd, PIECE_SIZE) < 0)
			fail("memfd");
		map_piece(&k->pieces[i], i == 0);
	}
	for (unsigned int page = 0; page < PAGES; page++)
		fill_page((uint64_t *)page_at(k, page), page);
}

/* Every page is as it was made, but for those that the device was to write. */
static void check_memory(const struct keep *k)
{
	uint64_t pattern[PAGE / 8], own[PAGE / 8];
	unsigned int written = 0;

	fill_page(pattern, 0);
	for (unsigned int page = 0; page < PAGES; page++) {
		fill_page(own, page);
		if (memcmp(page_at(k, page), own, PAGE) == 0)
			continue;
		if (page == 0 || page > TARGETS || memcmp(page_at(k, page), pattern, PAGE) != 0) {
			printf("failed: page %u is neither as it was nor what the device wrote\n",
			       page);
			exit(1);
		}
		written++;
	}
	printf("memory: %u pages as they were, %u written by the device\n", PAGES - written,
	       written);
	fflush(stdout);
}

static void write_frames(const struct keep *k, const char *folder, const char *session)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry;
	char path[512];
	FILE *out;

	snprintf(path, sizeof(path), "%s/frames-%s", folder, session);
	out = fopen(path, "w");
	if (pagemap < 0 || !out)
		fail(path);
	for (unsigned int page = 0; page < PAGES; page++) {
		off_t at = (off_t)((uintptr_t)page_at(k, page) / PAGE * sizeof(entry));

		if (pread(pagemap, &entry, sizeof(entry), at) != sizeof(entry))
			fail("pagemap");
		entry &= (UINT64_C(1) << 55) - 1;
		fwrite(&entry, sizeof(entry), 1, out);
	}
	if (fclose(out) != 0)
		fail(path);
	close(pagemap);
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
		fail("IOMMU_IOAS_ALLOC");
	k->ioas = alloc.out_ioas_id;
}

static void map_all(const struct keep *k)
{
	for (unsigned int i = 0; i < PIECES; i++)
		if (map_at(k, i, IOVA + i * PIECE_SIZE) < 0)
			fail("IOMMU_IOAS_MAP_FILE");
}

static void map_registers(struct keep *k)
{
	struct vfio_region_info bar = {.argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX};
	struct vfio_region_info config = {.argsz = sizeof(config),
					  .index = VFIO_PCI_CONFIG_REGION_INDEX};

	if (ioctl(k->device, VFIO_DEVICE_GET_REGION_INFO, &bar) < 0 ||
	    ioctl(k->device, VFIO_DEVICE_GET_REGION_INFO, &config) < 0)
		fail("VFIO_DEVICE_GET_REGION_INFO");
	k->config = (off_t)config.offset;
	k->bar = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, k->device,
		      (off_t)bar.offset);
	if (k->bar == MAP_FAILED)
		fail("mmap of the BAR");
}

static uint16_t command(const struct keep *k)
{
	uint16_t value = 0;

	if (pread(k->device, &value, sizeof(value), k->config + PCI_COMMAND) != sizeof(value))
		fail("configuration space");
	return value;
}

static void switch_on(const struct keep *k)
{
	uint16_t value = command(k) | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

	if (pwrite(k->device, &value, sizeof(value), k->config + PCI_COMMAND) != sizeof(value))
		fail("configuration space");
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
		fail("DMA");
	}
}

/* It writes what is in its buffer to that page. */
static void use_device(const struct keep *k, unsigned int page, const char *when)
{
	uint64_t pattern[PAGE / 8];

	fill_page(pattern, 0);
	memset(page_at(k, page), 0, PAGE);
	dma(k, EDU_BUFFER, IOVA + (uint64_t)page * PAGE, EDU_DMA_TO_RAM);
	if (memcmp(page_at(k, page), pattern, PAGE) != 0) {
		printf("failed: %s: DMA did not reach page %u\n", when, page);
		exit(1);
	}
	fill_page((uint64_t *)page_at(k, page), page);
	printf("dma: %s\n", when);
	fflush(stdout);
}

static void open_all(struct keep *k, const char *address)
{
	make_memory(k);
	k->io = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (k->io < 0)
		fail("/dev/iommu");
	make_ioas(k);
	map_all(k);
	k->device = open_path(address);
	if (k->device < 0 || bind(k) < 0 || attach(k) < 0)
		fail(address);
	map_registers(k);
	switch_on(k);
	*(volatile uint32_t *)(k->bar + EDU_LIVE) = LIVE_VALUE;
	dma(k, IOVA, EDU_BUFFER, 0);
	use_device(k, LAST_PAGE, "at first");
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

static void preserve_all(const struct keep *k)
{
	for (unsigned int i = 0; i < PIECES; i++)
		if (preserve(k, k->pieces[i].fd, TOKEN_MEMORY + i) < 0)
			fail("preserving memory");
	if (preserve(k, k->io, TOKEN_IOMMUFD) < 0)
		fail("preserving the iommufd");
	if (preserve(k, k->device, TOKEN_DEVICE) < 0)
		fail("preserving the device");
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

static int begin(const char *session, const char *address, const char *folder)
{
	struct keep k = {0};

	open_all(&k, address);
	make_session(&k, session);
	preserve_all(&k);
	fixed(&k);
	use_device(&k, LAST_PAGE, "while it is preserved");
	write_frames(&k, folder, session);
	wait_for_signal();
	use_device(&k, LAST_PAGE, "after a reboot that failed, or none");
	close(k.session);
	use_device(&k, LAST_PAGE, "after the session is closed");
	if (unmap(&k, IOVA + PIECE_SIZE) < 0 || map_at(&k, 1, IOVA + PIECE_SIZE) < 0)
		fail("mapping after the session is closed");
	use_device(&k, LAST_PAGE, "after mapping anew");
	if (detach(&k) < 0 || attach(&k) < 0)
		fail("attaching after the session is closed");
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
		fail("preserving memory");
	refused(preserve(&k, k.io, TOKEN_IOMMUFD), EINVAL, "an iommufd before all of its memory");
	close(k.session);
	use_device(&k, LAST_PAGE, "after what was refused");
	/* The mapping keeps the page that was, the file has none there. */
	if (fallocate(k.pieces[1].fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) < 0)
		fail("fallocate");
	make_session(&k, "hole");
	for (unsigned int i = 0; i < PIECES; i++)
		if (preserve(&k, k.pieces[i].fd, TOKEN_MEMORY + i) < 0)
			fail("preserving memory");
	refused(preserve(&k, k.io, TOKEN_IOMMUFD), ESTALE,
		"an iommufd with a page that left its file");
	close(k.session);
	if (detach(&k) < 0)
		fail("detaching");
	make_session(&k, "detached");
	refused(preserve(&k, k.device, TOKEN_DEVICE), EINVAL, "a device that is not attached");
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
		map_piece(&k->pieces[i], false);
	}
	k->io = take_fd(k, TOKEN_IOMMUFD, "the iommufd");
	k->device = take_fd(k, TOKEN_DEVICE, "the device");
}

static int take(const char *session, const char *address)
{
	struct keep k = {0};

	take_session(&k, session);
	refused(open_path(address), EBUSY, "opening the device by its path");
	take_files(&k);
	check_memory(&k);
	refused(finish(&k), EBUSY, "finishing before the device is bound");
	if (bind(&k) < 0)
		fail("VFIO_DEVICE_BIND_IOMMUFD");
	make_ioas(&k);
	refused(attach(&k), EUCLEAN, "attaching to nothing");
	/* The second piece is missing, then it is at the wrong place. */
	if (map_at(&k, 0, IOVA) < 0)
		fail("IOMMU_IOAS_MAP_FILE");
	refused(attach(&k), EUCLEAN, "attaching to a part");
	refused(finish(&k), EBUSY, "finishing before the device is attached");
	if (map_at(&k, 1, IOVA + PIECE_SIZE) < 0 || attach(&k) < 0)
		fail("attaching");
	map_registers(&k);
	printf("device: command 0x%04x, %s\n", command(&k),
	       *(volatile uint32_t *)(k.bar + EDU_LIVE) == ~LIVE_VALUE ? "not reset" : "was reset");
	use_device(&k, LAST_PAGE, "before it is finished");
	if (finish(&k) < 0)
		fail("FINISH");
	use_device(&k, LAST_PAGE, "after it is finished");
	check_memory(&k);
	say("taken");
	/* The next update may follow. */
	close(k.session);
	make_session(&k, session);
	preserve_all(&k);
	use_device(&k, LAST_PAGE, "while it is preserved again");
	wait_for_signal();
	return 0;
}

static int leave(const char *session)
{
	struct keep k = {0};

	take_session(&k, session);
	if (finish(&k) < 0)
		fail("FINISH");
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
		fail("VFIO_DEVICE_BIND_IOMMUFD");
	say("let go");
	return 0;
}

static int open_only(const char *address)
{
	struct keep k = {.device = open_path(address)};

	if (k.device < 0)
		fail("opening the device by its path");
	open_all(&k, address);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "", *text = getenv("DMA_KEEP_SEED");

	if (text)
		seed = strtoull(text, NULL, 0);
	if (strcmp(what, "begin") == 0 && argc == 5)
		return begin(argv[2], argv[3], argv[4]);
	if (strcmp(what, "order") == 0)
		return order(argv[2]);
	if (strcmp(what, "open") == 0)
		return open_only(argv[2]);
	if (strcmp(what, "take") == 0 && argc == 4)
		return take(argv[2], argv[3]);
	if (strcmp(what, "leave") == 0)
		return leave(argv[2]);
	if (strcmp(what, "let-go") == 0)
		return let_go(argv[2]);
	fprintf(stderr, "Usage: dma-keep begin|order|open|take|leave|let-go ...\n");
	return 2;
}
