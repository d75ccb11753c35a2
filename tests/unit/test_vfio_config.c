/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration space of a device that is passed through, on a kernel that is played by the test:
 * what a guest sees of it, and what of its writes reaches the device. Expectations are from PCI
 * Local Bus 3.0, chapter 6, PCI Express Base 5.0, chapter 7, and PCI Power Management 1.2.
 */
#include "tests/unit/vfio_pci_test.h"

#define SPEC_CAP_PM   0x01
#define SPEC_CAP_MSI  0x05
#define SPEC_CAP_EXP  0x10
#define SPEC_CAP_SLOT 0x04

/* ---- The header. ---- */

static void test_identity(void **state _unused_)
{
	fake_vfio_config_put(0x2c, 0x11001af4, 4);
	fake_vfio_config_put(0x30, 0xfff80001, 4); /* an expansion ROM */
	open_device();
	assert_int_equal(get(SPEC_VENDOR_ID, 4), 0x11e81234);
	assert_int_equal(get(SPEC_REVISION, 4), 0x00ff0010);
	assert_int_equal(get(SPEC_SUBSYS_VENDOR, 4), 0x11001af4);
	assert_int_equal(get(SPEC_INT_PIN, 1), 1);
	assert_int_equal(get(SPEC_HEADER_TYPE, 1), 0);
	put(SPEC_ROM, UINT32_MAX, 4);
	assert_int_equal(get(SPEC_ROM, 4), 0);
	put(SPEC_VENDOR_ID, 0, 4);
	assert_int_equal(get(SPEC_VENDOR_ID, 4), 0x11e81234);
	/* No extended capability. */
	assert_int_equal(get(0x100, 4), 0);
}

static void test_command(void **state _unused_)
{
	open_device();
	/* Decoding is on for us, whatever the guest says; bus mastering is not. */
	assert_int_equal(fake_vfio_config_get(SPEC_COMMAND, 2), SPEC_CMD_IO | SPEC_CMD_MEMORY);
	put(SPEC_COMMAND, SPEC_CMD_MASTER | SPEC_CMD_NO_INTX, 2);
	assert_int_equal(fake_vfio_config_get(SPEC_COMMAND, 2),
			 SPEC_CMD_IO | SPEC_CMD_MEMORY | SPEC_CMD_MASTER | SPEC_CMD_NO_INTX);
	assert_int_equal(get(SPEC_COMMAND, 2), SPEC_CMD_MASTER | SPEC_CMD_NO_INTX);
	/* Its end takes it back. */
	vfio_pci_free(v);
	v = NULL;
	assert_int_equal(fake_vfio_config_get(SPEC_COMMAND, 2) & SPEC_CMD_MASTER, 0);
}

static void test_bridge(void **state _unused_)
{
	struct error err = ERROR_INIT;

	fake_vfio_config_put(SPEC_HEADER_TYPE, 1, 1);
	assert_int_equal(try_open(&err), -EOPNOTSUPP);
	assert_non_null(strstr(err.message, "bridge"));
}

/* ---- Extended configuration space: PCI Express Base 5.0, 7.6. ---- */

#define SPEC_EXT_ERR   0x0001
#define SPEC_EXT_DSN   0x0003
#define SPEC_EXT_ATS   0x000f
#define SPEC_EXT_SRIOV 0x0010
#define SPEC_EXT_VSEC  0x000b

static void extended(unsigned int at, uint16_t id, unsigned int version, unsigned int next)
{
	fake_vfio_config_put(at, id | version << 16 | next << 20, 4);
	fake_vfio_config_put(at + 4, 0xabcd0000 | at, 4);
}

/* A PCI Express capability behind MSI. */
static void make_express(void)
{
	fake_vfio_config_put(0x41, 0x60, 1);
	fake_vfio_config_put(0x60, 0x00020010, 4);
}

static void test_extended(void **state _unused_)
{
	make_express();
	extended(0x100, SPEC_EXT_ERR, 2, 0x180);
	extended(0x180, SPEC_EXT_SRIOV, 1, 0x140);
	extended(0x140, SPEC_EXT_DSN, 1, 0x200);
	extended(0x200, SPEC_EXT_ATS, 1, 0x300);
	extended(0x300, SPEC_EXT_VSEC, 1, 0);
	open_device();
	/* Those that a guest can use, in their places and in order. */
	assert_int_equal(get(0x100, 4), SPEC_EXT_ERR | 2 << 16 | 0x140U << 20);
	assert_int_equal(get(0x140, 4), SPEC_EXT_DSN | 1 << 16 | 0x300U << 20);
	assert_int_equal(get(0x300, 4), SPEC_EXT_VSEC | 1 << 16);
	assert_int_equal(get(0x142, 2), 0x3001);
	assert_int_equal(get(0x304, 4), 0xabcd0300);
	assert_int_equal(get(0x305, 1), 0x03);
	/* Of the others nothing, and a write does not reach them. */
	assert_int_equal(get(0x180, 4), 0);
	assert_int_equal(get(0x184, 4), 0);
	put(0x184, 1, 4);
	assert_int_equal(fake_vfio_config_get(0x184, 4), 0xabcd0180);
	put(0x100, UINT32_MAX, 4);
	assert_int_equal(fake_vfio_config_get(0x100, 2), SPEC_EXT_ERR);
	put(0x104, 0x12345678, 4);
	assert_int_equal(fake_vfio_config_get(0x104, 4), 0x12345678);
	assert_int_equal(get(0xffc, 4), 0);
}

static void test_extended_first_hidden(void **state _unused_)
{
	make_express();
	extended(0x100, SPEC_EXT_ATS, 1, 0x150);
	extended(0x150, SPEC_EXT_DSN, 1, 0x100); /* a ring */
	open_device();
	assert_int_equal(get(0x100, 4), 0x150U << 20);
	assert_int_equal(get(0x104, 4), 0);
	assert_int_equal(get(0x150, 4), SPEC_EXT_DSN | 1 << 16);
}

static void test_no_extended(void **state _unused_)
{
	/* Not of PCI Express: what stands there is no list. */
	extended(0x100, SPEC_EXT_ERR, 1, 0);
	open_device();
	assert_int_equal(get(0x100, 4), 0);
	assert_int_equal(get(0x104, 4), 0);
}
/* ---- Capabilities. ---- */

/* PM at 0x50, one that no guest may see at 0x60, vendor-specific at 0x70, PCIe at 0x80. */
static void add_capabilities(void)
{
	fake_vfio_config_put(MSI + 1, 0x50, 1);
	fake_vfio_config_put(0x50, 0xffc36001, 4);
	fake_vfio_config_put(0x54, 0x8100, 4);
	fake_vfio_config_put(0x60, 0x12347004, 4);
	fake_vfio_config_put(0x70, 0x0c108009, 4);
	fake_vfio_config_put(0x74, 0xcafe, 4);
	fake_vfio_config_put(0x80, 0x00020010, 4);
	fake_vfio_config_put(0x88, 0x2810, 2);
}

static void test_chain(void **state _unused_)
{
	add_capabilities();
	open_device();
	assert_int_equal(find_cap(SPEC_CAP_MSI), MSI);
	assert_int_equal(find_cap(SPEC_CAP_PM), 0x50);
	assert_int_equal(find_cap(SPEC_CAP_VENDOR), 0x70);
	assert_int_equal(find_cap(SPEC_CAP_EXP), 0x80);
	assert_int_equal(find_cap(SPEC_CAP_SLOT), 0);
	/* Root complex integrated endpoint. */
	assert_int_equal(get(0x82, 2), 0x92);
	/* Device Control, and bytes of no capability: the device's. */
	put(0x88, 0x1234, 2);
	assert_int_equal(fake_vfio_config_get(0x88, 2), 0x1234);
	assert_int_equal(get(0x88, 2), 0x1234);
	put(0xf0, 0xfeedbeef, 4);
	assert_int_equal(fake_vfio_config_get(0xf0, 4), 0xfeedbeef);
	assert_int_equal(get(0x70, 4), 0x0c108009);
	put(0x74, 0xbabe, 4);
	assert_int_equal(get(0x74, 4), 0xbabe);
}

static void test_power(void **state _unused_)
{
	add_capabilities();
	open_device();
	/* No PME from any state. */
	assert_int_equal(get(0x52, 2), 0x0603);
	assert_int_equal(get(0x54, 2), 0);
	put(SPEC_BAR0, BAR0, 4);
	put(SPEC_COMMAND, SPEC_CMD_MEMORY, 2);
	assert_int_equal(machine.memory_count, 1);
	/* D3hot: the device goes there, and has no memory for the guest while it sleeps. */
	put(0x54, 0x8103, 2);
	assert_int_equal(get(0x54, 2), 3);
	assert_int_equal(fake_vfio_config_get(0x54, 2), 3);
	assert_int_equal(machine.memory_count, 0);
	put(SPEC_BAR0, BAR0 + 0x1000000, 4);
	assert_int_equal(machine.memory_count, 0);
	put(0x54, 0, 2);
	assert_int_equal(fake_vfio_config_get(0x54, 2), 0);
	assert_int_equal(machine.memory_count, 1);
	assert_int_equal(machine.memory[0].gpa, BAR0 + 0x1000000);
}

/* PCI Power Management 1.2, 3.2.4: a state that a function has not is written in vain. */
static void test_power_states_that_are_not_there(void **state _unused_)
{
	add_capabilities();
	fake_vfio_config_put(0x52, 0x0003, 2);
	fake_vfio_config_put(0x54, 0x0008, 2); /* No_Soft_Reset */
	open_device();
	assert_int_equal(get(0x54, 2), 0x08);
	put(0x54, 1, 2);
	assert_int_equal(get(0x54, 2), 0x08);
	put(0x54, 2, 2);
	assert_int_equal(get(0x54, 2), 0x08);
	put(0x54, 3, 2);
	assert_int_equal(get(0x54, 2), 0x0b);
	assert_int_equal(fake_vfio_config_get(0x54, 2) & 3, 3);
}

/* PCI 3.0, 6.2.5.2: size as of a BAR, and an enable bit of its own. */
static void test_rom(void **state _unused_)
{
	uint32_t image = 0xcafeaa55;

	fake_vfio.regions[6].size = 0x1800;
	assert_int_equal(pwrite(fake_vfio.fd, &image, 4, (off_t)FAKE_VFIO_OFFSET(6)), 4);
	open_device();
	put(SPEC_ROM, UINT32_MAX, 4);
	assert_int_equal(get(SPEC_ROM, 4), 0xffffe001);
	put(SPEC_ROM, BAR0, 4);
	put(SPEC_COMMAND, SPEC_CMD_MEMORY, 2);
	assert_int_equal(fake_mmio_read(&machine, BAR0, 4), UINT64_MAX);
	put(SPEC_ROM, BAR0 | 1, 4);
	assert_int_equal(fake_mmio_read(&machine, BAR0, 4), 0xcafeaa55);
	fake_mmio_write(&machine, BAR0, 0, 4);
	assert_int_equal(fake_mmio_read(&machine, BAR0, 4), 0xcafeaa55);
	/* What is behind the device's. */
	assert_int_equal(fake_mmio_read(&machine, BAR0 + 0x1800, 4), UINT32_MAX);
	put(SPEC_COMMAND, 0, 2);
	assert_int_equal(fake_mmio_read(&machine, BAR0, 4), UINT64_MAX);
	put(SPEC_COMMAND, SPEC_CMD_MEMORY, 2);
	put(SPEC_ROM, BAR0 + 0x2000, 4);
	assert_int_equal(fake_mmio_read(&machine, BAR0 + 0x2000, 4), UINT64_MAX);
	put(SPEC_ROM, (BAR0 + 0x2000) | 1, 4);
	assert_int_equal(fake_mmio_read(&machine, BAR0 + 0x2000, 4), 0xcafeaa55);
}

static void test_ring_of_capabilities(void **state _unused_)
{
	fake_vfio_config_put(MSI + 1, MSI, 1);
	open_device();
	assert_int_equal(find_cap(SPEC_CAP_MSI), MSI);
}
int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_identity),
		T(test_command),
		T(test_bridge),
		T(test_extended),
		T(test_extended_first_hidden),
		T(test_no_extended),
		T(test_chain),
		T(test_power),
		T(test_power_states_that_are_not_there),
		T(test_rom),
		T(test_ring_of_capabilities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
