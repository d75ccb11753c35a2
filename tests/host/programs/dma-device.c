// SPDX-License-Identifier: Apache-2.0
#include "dma-device.h"

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

void take_seed(void)
{
	const char *text = getenv("DMA_KEEP_SEED");

	if (text)
		keep_seed = strtoull(text, NULL, 0);
}

void say(const char *what)
{
	printf("%s\n", what);
	fflush(stdout);
}

/* The call must fail with that errno. */
void refused(int result, int expected, const char *what)
{
	if (result >= 0 || errno != expected) {
		printf("failed: %s: %s, expected %s\n", what,
		       result >= 0 ? "it succeeds" : strerror(errno), strerror(expected));
		exit(1);
	}
	printf("refused: %s: %s\n", what, strerror(expected));
	fflush(stdout);
}

void check(const struct error *err, int result)
{
	if (result < 0) {
		printf("failed: %s\n", error_message(err));
		exit(1);
	}
}

/* -- the device ----------------------------------------------------------------------------------
 */

int open_path(const char *address)
{
	struct error err = ERROR_INIT;
	char path[PATH_MAX];

	check(&err, pci_sysfs_find_vfio("", address, path, &err));
	return open(path, O_RDWR | O_CLOEXEC);
}

int bind_iommufd(const struct keep *k)
{
	struct vfio_device_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = k->io};

	return ioctl(k->device, VFIO_DEVICE_BIND_IOMMUFD, &bind);
}

int attach(const struct keep *k)
{
	struct vfio_device_attach_iommufd_pt attach = {.argsz = sizeof(attach), .pt_id = k->ioas};

	return ioctl(k->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
}

int detach(const struct keep *k)
{
	struct vfio_device_detach_iommufd_pt detach = {.argsz = sizeof(detach)};

	return ioctl(k->device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach);
}

int map_at(const struct keep *k, unsigned int piece, uint64_t iova)
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

int unmap(const struct keep *k, uint64_t iova)
{
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap), .ioas_id = k->ioas, .iova = iova, .length = PIECE_SIZE};

	return ioctl(k->io, IOMMU_IOAS_UNMAP, &unmap);
}

void make_ioas(struct keep *k)
{
	struct iommu_ioas_alloc alloc = {.size = sizeof(alloc)};

	if (ioctl(k->io, IOMMU_IOAS_ALLOC, &alloc) < 0)
		keep_fail("IOMMU_IOAS_ALLOC");
	k->ioas = alloc.out_ioas_id;
}

void map_all(const struct keep *k)
{
	for (unsigned int i = 0; i < PIECES; i++)
		if (map_at(k, i, IOVA + i * PIECE_SIZE) < 0)
			keep_fail("IOMMU_IOAS_MAP_FILE");
}

void map_registers(struct keep *k)
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

uint16_t command_register(const struct keep *k)
{
	uint16_t value = 0;

	if (pread(k->device, &value, sizeof(value), k->config + PCI_COMMAND) != sizeof(value))
		keep_fail("configuration space");
	return value;
}

static void switch_on(const struct keep *k)
{
	uint16_t value = command_register(k) | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

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
void use_device(const struct keep *k, unsigned int page, const char *when)
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

void open_device(struct keep *k, const char *address)
{
	k->device = open_path(address);
	if (k->device < 0 || bind_iommufd(k) < 0 || attach(k) < 0)
		keep_fail(address);
	map_registers(k);
	switch_on(k);
	*(volatile uint32_t *)(k->bar + EDU_LIVE) = LIVE_VALUE;
	dma(k, IOVA, EDU_BUFFER, 0);
	use_device(k, LAST_PAGE, "at first");
}

void open_all(struct keep *k, const char *address)
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

int preserve(const struct keep *k, int fd, uint64_t token)
{
	struct error err = ERROR_INIT;
	int r = luo_session_preserve_fd(k->session, fd, token, "it", &err);

	errno = -r;
	return r;
}

void preserve_memory(const struct keep *k)
{
	for (unsigned int i = 0; i < PIECES; i++)
		if (preserve(k, k->pieces[i].fd, TOKEN_MEMORY + i) < 0)
			keep_fail("preserving memory");
}

void preserve_iommufd(const struct keep *k)
{
	preserve_memory(k);
	if (preserve(k, k->io, TOKEN_IOMMUFD) < 0)
		keep_fail("preserving the iommufd");
}

void preserve_all(const struct keep *k)
{
	preserve_iommufd(k);
	if (preserve(k, k->device, TOKEN_DEVICE) < 0)
		keep_fail("preserving the device");
}

void make_session(struct keep *k, const char *name)
{
	struct error err = ERROR_INIT;

	check(&err, luo_session_create(name, LUO_OPEN_TIMEOUT_MS, &k->session, &err));
}

/* -- the new kernel ------------------------------------------------------------------------------
 */

void take_session(struct keep *k, const char *name)
{
	struct error err = ERROR_INIT;

	check(&err, luo_session_retrieve(name, LUO_OPEN_TIMEOUT_MS, &k->session, &err));
}

int take_fd(const struct keep *k, uint64_t token, const char *what)
{
	struct error err = ERROR_INIT;
	int fd;

	check(&err, luo_session_retrieve_fd(k->session, token, what, &fd, &err));
	return fd;
}

int finish(const struct keep *k)
{
	struct error err = ERROR_INIT;
	int r = luo_session_finish(k->session, &err);

	errno = -r;
	return r;
}

void take_memory(struct keep *k)
{
	for (unsigned int i = 0; i < PIECES; i++) {
		k->pieces[i].fd = take_fd(k, TOKEN_MEMORY + i, "memory");
		keep_map_piece(&k->pieces[i], false);
	}
}

void take_files(struct keep *k)
{
	take_memory(k);
	k->io = take_fd(k, TOKEN_IOMMUFD, "the iommufd");
	k->device = take_fd(k, TOKEN_DEVICE, "the device");
}

void wait_for_signal(void)
{
	sigset_t set;
	int got;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	say("kept");
	sigwait(&set, &got);
}

void change_all(const struct keep *k)
{
	use_device(k, LAST_PAGE, "after the session is closed");
	if (unmap(k, IOVA + PIECE_SIZE) < 0 || map_at(k, 1, IOVA + PIECE_SIZE) < 0)
		keep_fail("mapping after the session is closed");
	use_device(k, LAST_PAGE, "after mapping anew");
	if (detach(k) < 0 || attach(k) < 0)
		keep_fail("attaching after the session is closed");
	use_device(k, LAST_PAGE, "after attaching anew");
}

void keep_until_told(const struct keep *k, const char *folder, const char *session)
{
	use_device(k, LAST_PAGE, "while it is preserved");
	keep_write_frames(k, folder, session);
	wait_for_signal();
	use_device(k, LAST_PAGE, "after a reboot that failed, or none");
	close(k->session);
	change_all(k);
}
