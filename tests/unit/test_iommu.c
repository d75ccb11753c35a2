/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iommu/ on a kernel that is played by the test: what its operator is told of each failure, and
 * what of a device's BARs is mapped. That the kernel does what it is asked is for the scenario
 * passthrough-edu to show.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>
#include <sys/resource.h>

#include "base/pci_sysfs.h"
#include "base/util.h"
#include "iommu/iommufd.h"
#include "iommu/vfio.h"
#include "tests/unit/fake_vfio.h"

#define SYSFS "/sys/bus/pci/devices/" FAKE_VFIO_ADDRESS

static struct iommufd *io;

static int setup(void **state _unused_)
{
	struct error err = ERROR_INIT;

	fake_vfio_begin();
	assert_int_equal(iommufd_open("/dev/null", &io, &err), 0);
	return 0;
}

static int teardown(void **state _unused_)
{
	iommufd_free(io);
	io = NULL;
	fake_vfio_end();
	return 0;
}

static void assert_says(const struct error *err, const char *text)
{
	if (!strstr(err->message, text))
		fail_msg("\"%s\" does not say \"%s\"", err->message, text);
}

static void fails(unsigned long request, int code)
{
	fake_vfio.fails.request = request;
	fake_vfio.fails.code = code;
}

/* ---- iommufd. ---- */

static void test_no_iommufd(void **state _unused_)
{
	struct iommufd *none = NULL;
	struct error err = ERROR_INIT;

	assert_int_equal(iommufd_open("/nowhere/iommu", &none, &err), -ENOENT);
	assert_says(&err, "CONFIG_IOMMUFD");
	fails(IOMMU_IOAS_ALLOC, ENOMEM);
	assert_int_equal(iommufd_open("/dev/null", &none, &err), -ENOMEM);
	assert_says(&err, "IOMMU_IOAS_ALLOC");
	assert_null(none);
}

static const struct iommufd_memory memory = {.fd = 3, .length = 2 * MIB, .address = &io};

static void test_map(void **state _unused_)
{
	struct error err = ERROR_INIT;
	bool by_file = false;

	assert_int_equal(iommufd_map(io, &memory, 0x100000000, &by_file, &err), 0);
	assert_true(by_file);
	assert_int_equal(fake_vfio.maps_by_file, 1);
	assert_int_equal(fake_vfio.last_iova, 0x100000000);
	assert_int_equal(fake_vfio.last_length, 2 * MIB);
	assert_int_equal(iommufd_unmap(io, 0x100000000, 2 * MIB, &err), 0);
	assert_int_equal(fake_vfio.unmaps, 1);
	/* Before Linux 6.14 there was no such call: iommufd answers ENOTTY. */
	fails(IOMMU_IOAS_MAP_FILE, ENOTTY);
	assert_int_equal(iommufd_map(io, &memory, 0, &by_file, &err), 0);
	assert_false(by_file);
	assert_int_equal(fake_vfio.maps_by_address, 1);
}

static void test_map_fails(void **state _unused_)
{
	static const int codes[] = {ENOMEM, EEXIST, EINVAL, EFAULT};
	bool by_file;

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		struct error err = ERROR_INIT;

		fails(IOMMU_IOAS_MAP_FILE, codes[i]);
		assert_int_equal(iommufd_map(io, &memory, 0x200000, &by_file, &err), -codes[i]);
		assert_says(&err, "2 MiB for DMA at 0x200000");
		if (codes[i] == ENOMEM)
			assert_says(&err, "free");
		assert_int_equal(fake_vfio.maps_by_address, 0);
	}
	fails(IOMMU_IOAS_UNMAP, ENOENT);
	assert_int_equal(iommufd_unmap(io, 0, 2 * MIB, NULL), -ENOENT);
}

static void test_ranges(void **state _unused_)
{
	struct error err = ERROR_INIT;
	bool by_file;

	/* Interrupts of x86: Intel SDM 3A, 11.11.1. */
	fake_vfio.range_count = 2;
	fake_vfio.ranges[0].last = 0xfedfffff;
	fake_vfio.ranges[1].start = 0xfef00000;
	fake_vfio.ranges[1].last = UINT64_MAX;
	assert_int_equal(iommufd_check_range(io, 0, 0xfee00000, &err), 0);
	assert_int_equal(iommufd_check_range(io, 0xfef00000, 1ULL << 40, &err), 0);
	assert_int_equal(iommufd_check_range(io, 0xfed00000, 0x200000, &err), -ERANGE);
	assert_says(&err, "up to 0xfedfffff, again from 0xfef00000");
	assert_int_equal(iommufd_check_range(io, 0, 0, &err), -EINVAL);
	assert_int_equal(iommufd_check_range(io, UINT64_MAX, 2, &err), -EINVAL);
	assert_int_equal(iommufd_map(io, &memory, 0xfed00000, &by_file, &err), -ERANGE);
	assert_int_equal(fake_vfio.maps_by_file, 0);
	fails(IOMMU_IOAS_IOVA_RANGES, EINVAL);
	assert_int_equal(iommufd_check_range(io, 0, 4096, &err), -EINVAL);
	assert_says(&err, "IOMMU_IOAS_IOVA_RANGES");
}

/* After a kexec the context is a new one; without, it has what was mapped. */
static void test_adopt(void **state _unused_)
{
	struct iommufd *other = NULL;
	struct error err = ERROR_INIT;
	bool mapped = false;

	assert_int_equal(iommufd_adopt(iommufd_fd(io), 5, &other, &mapped, &err), 0);
	assert_true(mapped);
	assert_int_equal(iommufd_ioas(other), 5);
	assert_int_not_equal(iommufd_fd(other), iommufd_fd(io));
	iommufd_free(other);
	assert_int_equal(iommufd_adopt(iommufd_fd(io), 0, &other, &mapped, &err), 0);
	assert_false(mapped);
	iommufd_free(other);
	/* Linux: of an object that is not there, or no address space. */
	fails(IOMMU_IOAS_IOVA_RANGES, ENOENT);
	assert_int_equal(iommufd_adopt(iommufd_fd(io), 9, &other, &mapped, &err), 0);
	assert_false(mapped);
	assert_int_equal(iommufd_ioas(other), 5);
	iommufd_free(other);
	fails(IOMMU_IOAS_ALLOC, ENOMEM);
	assert_int_equal(iommufd_adopt(iommufd_fd(io), 0, &other, &mapped, &err), -ENOMEM);
	assert_says(&err, "that came back");
	assert_int_equal(iommufd_adopt(999, 5, &other, &mapped, &err), -EBADF);
}

/* ---- sysfs. ---- */

static void test_addresses(void **state _unused_)
{
	static const char *const wrong[] = {"",
					    "65",
					    "0000:65:00",
					    "0000:65:00.8",
					    "0000:65:20.0",
					    "0000:65:00.0x",
					    "disk0",
					    "65:00.0,",
					    "/dev/vfio/vfio0"};
	struct error err = ERROR_INIT;
	char address[PCI_ADDRESS_SIZE];

	assert_int_equal(pci_address_parse("0000:65:00.0", address, &err), 0);
	assert_string_equal(address, "0000:65:00.0");
	assert_int_equal(pci_address_parse("65:1F.7", address, &err), 0);
	assert_string_equal(address, "0000:65:1f.7");
	assert_int_equal(pci_address_parse("10000:01:00.0", address, &err), 0);
	assert_string_equal(address, "10000:01:00.0");
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_int_equal(pci_address_parse(wrong[i], address, &err), -EINVAL);
		assert_says(&err, "0000:65:00.0");
	}
}

static void assert_not_found(int code, const char *text)
{
	struct error err = ERROR_INIT;
	char path[PATH_MAX];

	assert_int_equal(pci_sysfs_find_vfio(fake_vfio.root, FAKE_VFIO_ADDRESS, path, &err), code);
	assert_says(&err, FAKE_VFIO_ADDRESS);
	assert_says(&err, text);
}

static void test_find(void **state _unused_)
{
	struct error err = ERROR_INIT;
	char path[PATH_MAX], expected[PATH_MAX];

	assert_int_equal(pci_sysfs_find_vfio(fake_vfio.root, FAKE_VFIO_ADDRESS, path, &err), 0);
	snprintf(expected, sizeof(expected), "%s/dev/vfio/devices/vfio0", fake_vfio.root);
	assert_string_equal(path, expected);
	fake_vfio_remove(SYSFS "/vfio-dev/vfio0");
	assert_not_found(-EOPNOTSUPP, "CONFIG_VFIO_DEVICE_CDEV");
	fake_vfio_remove(SYSFS "/driver");
	fake_vfio_link(SYSFS "/driver", "../../drivers/nvme");
	assert_not_found(-EBUSY, "driver nvme has it");
	fake_vfio_remove(SYSFS "/driver");
	assert_not_found(-ENXIO, "luoctl device bind");
	fake_vfio_remove(SYSFS "/iommu_group");
	assert_not_found(-EXDEV, "intel_iommu=on");
	fake_vfio_remove(SYSFS "/vfio-dev");
	fake_vfio_remove(SYSFS);
	assert_not_found(-ENODEV, "no such PCI device");
}

/* ---- Opening a device. ---- */

static struct vfio_device *open_device(struct error *err, int expected)
{
	const struct vfio_source source = {.root = fake_vfio.root, .address = FAKE_VFIO_ADDRESS};
	struct vfio_device *dev = NULL;

	assert_int_equal(vfio_device_open(&source, io, &dev, err), expected);
	if (expected < 0)
		assert_null(dev);
	return dev;
}

static void test_open(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct vfio_device *dev = open_device(&err, 0);

	assert_true(fake_vfio.bound && fake_vfio.attached);
	assert_string_equal(vfio_device_name(dev), FAKE_VFIO_ADDRESS);
	assert_int_equal(vfio_irq_count(dev, VFIO_IRQ_MSI), 1);
	assert_int_equal(vfio_irq_count(dev, VFIO_IRQ_MSIX), 0);
	assert_int_equal(vfio_read(dev, VFIO_CONFIG_SPACE, 0, 4), 0x11e81234);
	assert_int_equal(vfio_read(dev, VFIO_CONFIG_SPACE, 4096, 4), UINT32_MAX);
	assert_int_equal(vfio_device_reset(dev, &err), -EOPNOTSUPP);
	assert_says(&err, "function-level reset");
	vfio_device_free(dev);
	fake_vfio.can_reset = true;
	dev = open_device(&err, 0);
	assert_int_equal(vfio_device_reset(dev, &err), 0);
	assert_int_equal(fake_vfio.resets, 1);
	vfio_device_free(dev);
	assert_false(fake_vfio.attached);
}

static int open_errno; /* of the character device; 0: it opens */

int __wrap_open64(const char *path, int flags, mode_t mode);
int __real_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode)
{
	if (!open_errno || !strstr(path, "/dev/vfio/devices/"))
		return __real_open64(path, flags, mode);
	errno = open_errno;
	return -1;
}

static void test_open_fails(void **state _unused_)
{
	static const struct {
		int code;
		const char *text;
	} cases[] = {{EACCES, "run as root"},
		     {EBUSY, "resume that VM"},
		     {ENODEV, "taking it away"},
		     {ENXIO, "taking it away"},
		     {EMFILE, "vfio0"}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;

		open_errno = cases[i].code;
		open_device(&err, -cases[i].code);
		assert_says(&err, FAKE_VFIO_ADDRESS);
		assert_says(&err, cases[i].text);
	}
	open_errno = 0;
}

static void test_open_by_descriptor(void **state _unused_)
{
	const struct vfio_source source = {.fd = fake_vfio.fd};
	const struct vfio_source closed = {.fd = 999};
	struct error err = ERROR_INIT;
	struct vfio_device *dev;

	assert_int_equal(vfio_device_open(&source, io, &dev, &err), 0);
	assert_true(strncmp(vfio_device_name(dev), "fd ", 3) == 0);
	vfio_device_free(dev);
	assert_int_equal(vfio_device_open(&closed, io, &dev, &err), -EBADF);
	assert_says(&err, "fd 999");
}

static void test_bind_fails(void **state _unused_)
{
	static const struct {
		int code, expected;
		const char *text;
	} cases[] = {
		{EPERM, -EPERM, "interrupt remapping is off"},
		{EINVAL, -EBUSY, "another VM or process has it"},
		{EBUSY, -EBUSY, "another VM or process has it"},
		{ENOTTY, -EINVAL, "no character device of vfio"},
		{ENODEV, -ENODEV, "taking it away"},
		{ENOMEM, -ENOMEM, "VFIO_DEVICE_BIND_IOMMUFD"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;

		fails(VFIO_DEVICE_BIND_IOMMUFD, cases[i].code);
		open_device(&err, cases[i].expected);
		assert_says(&err, FAKE_VFIO_ADDRESS);
		assert_says(&err, cases[i].text);
		assert_false(fake_vfio.attached);
	}
}

static void test_group_not_viable(void **state _unused_)
{
	struct error err = ERROR_INIT;

	fake_vfio_folder("/sys/kernel/iommu_groups/7/devices/0000:65:00.1");
	fake_vfio_folder("/sys/bus/pci/devices/0000:65:00.1");
	fake_vfio_link("/sys/bus/pci/devices/0000:65:00.1/driver", "../../drivers/pcieport");
	fails(VFIO_DEVICE_BIND_IOMMUFD, EPERM);
	open_device(&err, -EPERM);
	assert_says(&err, "interrupt remapping");
	fake_vfio_remove("/sys/bus/pci/devices/0000:65:00.1/driver");
	fake_vfio_link("/sys/bus/pci/devices/0000:65:00.1/driver", "../../drivers/e1000e");
	open_device(&err, -EPERM);
	assert_says(&err, "not viable: 0000:65:00.1 (driver e1000e)");
}

static void test_attach_fails(void **state _unused_)
{
	static const struct {
		int code;
		const char *text;
	} cases[] = {{ENOMEM, "may lock 64 KiB: raise the limit"},
		     {EADDRINUSE, "RMRR"},
		     {EBUSY, "IOMMU group"}};
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	limit.rlim_cur = 64 * KIB;
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;

		fails(VFIO_DEVICE_ATTACH_IOMMUFD_PT, cases[i].code);
		open_device(&err, -cases[i].code);
		assert_says(&err, cases[i].text);
	}
}

static void test_no_pci_device(void **state _unused_)
{
	struct error err = ERROR_INIT;

	fake_vfio.regions[VFIO_PCI_CONFIG_REGION_INDEX].size = 0;
	open_device(&err, -ENODEV);
	assert_says(&err, "configuration space");
	fails(VFIO_DEVICE_GET_INFO, EIO);
	open_device(&err, -EIO);
}

/* ---- BARs. ---- */

static void assert_window(const struct vfio_bar *bar, unsigned int i, uint64_t offset,
			  uint64_t size)
{
	assert_true(i < bar->window_count);
	assert_int_equal(bar->windows[i].offset, offset);
	assert_int_equal(bar->windows[i].size, size);
	assert_non_null(bar->windows[i].address);
}

static void test_windows(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct vfio_device *dev;
	const struct vfio_bar *bar;

	fake_vfio.regions[1].size = 0x8000; /* not mappable */
	fake_vfio.regions[2].size = 0x100;  /* smaller than a page */
	fake_vfio.regions[2].mappable = true;
	fake_vfio.regions[4].size = 0x10000;
	fake_vfio.regions[4].mappable = true;
	fake_vfio.regions[4].areas = 2;
	fake_vfio.regions[4].area[0].offset = 0x800; /* not a whole page */
	fake_vfio.regions[4].area[0].size = 0x2800;
	fake_vfio.regions[4].area[1].offset = 0x8000;
	fake_vfio.regions[4].area[1].size = 0x100000; /* beyond the BAR */
	dev = open_device(&err, 0);
	/* The MSI-X table takes its pages out of the middle. */
	vfio_map_bars(dev, 0, 0x2010, 0x1000);
	bar = vfio_device_bar(dev, 0);
	assert_int_equal(bar->window_count, 2);
	assert_window(bar, 0, 0, 0x2000);
	assert_window(bar, 1, 0x4000, 0x100000 - 0x4000);
	assert_int_equal(vfio_device_bar(dev, 1)->window_count, 0);
	assert_int_equal(vfio_device_bar(dev, 2)->window_count, 0);
	bar = vfio_device_bar(dev, 4);
	assert_int_equal(bar->window_count, 2);
	assert_window(bar, 0, 0x1000, 0x2000);
	assert_window(bar, 1, 0x8000, 0x8000);
	/* The window and the call reach the same bytes. */
	*(volatile uint32_t *)bar->windows[1].address = 0x12345678;
	assert_int_equal(vfio_read(dev, 4, 0x8000, 4), 0x12345678);
	vfio_write(dev, 4, 0x8004, 0xabcd, 2);
	assert_int_equal(((volatile uint16_t *)bar->windows[1].address)[2], 0xabcd);
	assert_int_equal(vfio_read(dev, 4, 0xfffe, 4), UINT32_MAX);
	vfio_device_free(dev);
}

static void test_interrupts(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct vfio_device *dev = open_device(&err, 0);
	int fd = 77;

	assert_int_equal(vfio_irq_set(dev, VFIO_IRQ_MSI, 0, &fd, 1, &err), 0);
	assert_int_equal(fake_vfio.vectors[VFIO_PCI_MSI_IRQ_INDEX][0], 77);
	vfio_irq_disable(dev, VFIO_IRQ_MSI);
	assert_int_equal(fake_vfio.vectors[VFIO_PCI_MSI_IRQ_INDEX][0], -1);
	assert_int_equal(vfio_irq_set_unmask(dev, 78, &err), 0);
	assert_int_equal(fake_vfio.unmask_fd, 78);
	fails(VFIO_DEVICE_SET_IRQS, ENOSPC);
	assert_int_equal(vfio_irq_set(dev, VFIO_IRQ_MSI, 0, &fd, 1, &err), -ENOSPC);
	assert_says(&err, "no interrupt vectors left");
	fails(VFIO_DEVICE_SET_IRQS, EBUSY);
	assert_int_equal(vfio_irq_set(dev, VFIO_IRQ_INTX, 0, &fd, 1, &err), -EBUSY);
	assert_says(&err, "INTx");
	vfio_device_free(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_iommufd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_map, setup, teardown),
		cmocka_unit_test_setup_teardown(test_map_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adopt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_find, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open_by_descriptor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bind_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_group_not_viable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_attach_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_pci_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_windows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interrupts, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
