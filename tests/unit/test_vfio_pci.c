/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that is passed through, on a kernel that is played by the test: what a guest sees of its
 * configuration space and what of its writes reaches the device, where its BARs are mapped, and
 * which interrupts are set up. Expectations are from PCI Local Bus 3.0, chapter 6, and PCI Power
 * Management 1.2.
 */
#include "devices/vfio/vfio_pci.h"

#include <linux/vfio.h>
#include <sys/eventfd.h>

#include "iommu/vfio.h"
#include "tests/unit/fake_vfio.h"
#include "tests/unit/pci_test.h"

#define SPEC_CAP_PM	0x01
#define SPEC_CAP_MSI	0x05
#define SPEC_CAP_EXP	0x10
#define SPEC_CAP_MSIX	0x11
#define SPEC_CAP_SLOT	0x04
#define SPEC_MSI_ENABLE 0x0001
#define SPEC_MSI_64	0x0080
#define SPEC_MSIX_ON	0x8000
#define SPEC_LAPIC	0xfee00000U

#define BAR0 0xc0000000U
#define MSI  0x40U

static struct fake_machine machine;
static struct loop *loop;
static struct iommufd *io;
static struct vfio_pci *v;
static struct pci_device *pci;
static unsigned int events[2];

static int setup(void **state _unused_)
{
	struct error err = ERROR_INIT;

	fake_vfio_begin();
	fake_machine_init(&machine);
	fake_machine_offer_fds(&machine);
	memset(events, 0, sizeof(events));
	assert_int_equal(loop_new(&loop, &err), 0);
	assert_int_equal(iommufd_open("/dev/null", &io, &err), 0);
	return 0;
}

static int teardown(void **state _unused_)
{
	vfio_pci_free(v);
	v = NULL;
	assert_false(fake_vfio.attached);
	fake_machine_check_empty(&machine);
	iommufd_free(io);
	loop_free(loop);
	fake_vfio_end();
	return 0;
}

static void on_event(void *opaque _unused_, enum vfio_pci_event event)
{
	events[event]++;
}

static int try_open(struct error *err)
{
	static const struct vfio_pci_config config = {
		.host = FAKE_VFIO_ADDRESS, .fd = FD_NONE, .id = "nic0"};
	const struct vfio_pci_params params = {.config = &config,
					       .kept_fd = FD_NONE,
					       .root = fake_vfio.root,
					       .io = io,
					       .loop = loop,
					       .attach = &machine.attach,
					       .event = on_event};

	return vfio_pci_new(&params, &v, err);
}

static void open_device(void)
{
	struct error err = ERROR_INIT;

	if (try_open(&err) < 0)
		fail_msg("%s", error_message(&err));
	pci = vfio_pci_function(v);
}

static uint32_t get(unsigned int offset, unsigned int size)
{
	return pci_config_read(pci, offset, size);
}

static void put(unsigned int offset, uint32_t value, unsigned int size)
{
	pci_config_write(pci, offset, value, size);
}

/* Offset of a capability in what the guest sees; 0: none. */
static unsigned int find_cap(uint8_t id)
{
	unsigned int at = get(SPEC_CAP_POINTER, 1);

	for (int i = 0; i < 48 && at; i++) {
		assert_true(at >= 0x40 && at % 4 == 0);
		if (get(at, 1) == id)
			return at;
		at = get(at + 1, 1);
	}
	assert_int_equal(at, 0);
	return 0;
}

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

/* ---- BARs. ---- */

static void test_bars(void **state _unused_)
{
	fake_vfio.regions[2].size = 0x20;
	fake_vfio_config_put(0x18, SPEC_BAR_IO, 4);
	fake_vfio.regions[4].size = 0x80; /* memory, smaller than a page */
	fake_vfio_config_put(0x20, SPEC_BAR_64 | SPEC_BAR_PREFETCH, 4);
	open_device();
	for (unsigned int bar = 0; bar < 6; bar++)
		put(SPEC_BAR0 + 4 * bar, UINT32_MAX, 4);
	assert_int_equal(get(SPEC_BAR0, 4), 0xfff00000);
	assert_int_equal(get(SPEC_BAR0 + 4, 4), 0);
	assert_int_equal(get(SPEC_BAR0 + 8, 4) & 0xffff, 0xffe1);
	assert_int_equal(get(SPEC_BAR0 + 16, 4), 0xfffff00c);
	assert_int_equal(get(SPEC_BAR0 + 20, 4), UINT32_MAX);
	put(SPEC_BAR0 + 8, IO_ADDR, 4);
	put(SPEC_BAR0 + 16, BAR0 + 0x100000, 4);
	put(SPEC_BAR0 + 20, 0, 4);
	put(SPEC_BAR0, BAR0, 4);
	put(SPEC_COMMAND, SPEC_CMD_IO | SPEC_CMD_MEMORY, 2);
	/* The first is memory of the guest; the others are too small for that. */
	assert_int_equal(machine.memory_count, 1);
	assert_int_equal(machine.memory[0].gpa, BAR0);
	assert_int_equal(machine.memory[0].size, 0x100000);
	fake_mmio_write(&machine, IO_ADDR + 4, 0x1234, 2);
	assert_int_equal(fake_mmio_read(&machine, IO_ADDR + 4, 4), 0x1234);
	fake_mmio_write(&machine, BAR0 + 0x100000 + 0x7c, 0x55, 1);
	assert_int_equal(fake_mmio_read(&machine, BAR0 + 0x10007c, 4), 0x55);
	assert_int_equal(fake_mmio_read(&machine, BAR0 + 0x100080, 4), UINT32_MAX);
	/* The register and the memory are the same. */
	fake_mmio_write(&machine, BAR0 + 0x1000, 0xabcd, 4);
	assert_int_equal(*((uint32_t *)machine.memory[0].memory + 0x400), 0xabcd);
	/* It moves, and goes. */
	put(SPEC_BAR0, BAR0 + 0x1000000, 4);
	assert_int_equal(machine.memory_count, 1);
	assert_int_equal(machine.memory[0].gpa, BAR0 + 0x1000000);
	put(SPEC_COMMAND, 0, 2);
	assert_int_equal(machine.memory_count, 0);
}

static void test_no_slot(void **state _unused_)
{
	machine.refuse_memory = true;
	open_device();
	put(SPEC_BAR0, BAR0, 4);
	put(SPEC_COMMAND, SPEC_CMD_MEMORY, 2);
	fake_mmio_write(&machine, BAR0 + 8, 77, 4);
	assert_int_equal(fake_mmio_read(&machine, BAR0 + 8, 4), 77);
}

static void test_strange_bar(void **state _unused_)
{
	struct error err = ERROR_INIT;

	fake_vfio.regions[0].size = 0x3000;
	assert_int_equal(try_open(&err), -EINVAL);
	assert_non_null(strstr(err.message, "no power of two"));
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
	/* No PME from any state; D3hot would keep what the device has. */
	assert_int_equal(get(0x52, 2), 0x0603);
	assert_int_equal(get(0x54, 2), 0x08);
	put(0x54, 0x8103, 2);
	assert_int_equal(get(0x54, 2), 0x0b);
	assert_int_equal(fake_vfio_config_get(0x54, 2), 0x8100);
}

static void test_ring_of_capabilities(void **state _unused_)
{
	fake_vfio_config_put(MSI + 1, MSI, 1);
	open_device();
	assert_int_equal(find_cap(SPEC_CAP_MSI), MSI);
}

/* ---- Interrupts. ---- */

static int *vectors(enum vfio_irq irq)
{
	return fake_vfio.vectors[irq];
}

static void test_intx(void **state _unused_)
{
	open_device();
	assert_true(machine.intx_trigger >= 0);
	assert_int_equal(vectors(VFIO_IRQ_INTX)[0], machine.intx_trigger);
	assert_int_equal(fake_vfio.unmask_fd, machine.intx_resample);
}

static void test_no_intx(void **state _unused_)
{
	struct error err = ERROR_INIT;

	machine.refuse_intx = true;
	assert_int_equal(try_open(&err), -EBUSY);
	machine.refuse_intx = false;
	machine.attach.intx_fds = NULL;
	open_device();
	assert_int_equal(get(SPEC_INT_PIN, 1), 0);
	assert_int_equal(vectors(VFIO_IRQ_INTX)[0], -1);
}

static void msi_write(uint32_t data, bool on)
{
	put(MSI + 4, SPEC_LAPIC | 3, 4);
	put(MSI + 8, 0, 4);
	put(MSI + 12, data, 2);
	put(MSI + 2, on ? SPEC_MSI_ENABLE : 0, 2);
}

static void test_msi(void **state _unused_)
{
	struct fake_msi *msi;

	open_device();
	assert_int_equal(get(MSI + 2, 2), SPEC_MSI_64);
	msi_write(0x31, true);
	msi = fake_msi_by_data(&machine, 0x31);
	assert_non_null(msi);
	assert_int_equal(msi->address, SPEC_LAPIC);
	assert_int_equal(vectors(VFIO_IRQ_MSI)[0], msi->eventfd);
	/* One at a time. */
	assert_int_equal(vectors(VFIO_IRQ_INTX)[0], -1);
	assert_true(machine.intx_trigger < 0);
	/* Nothing of it reaches the device. */
	assert_int_equal(fake_vfio_config_get(MSI + 2, 2), SPEC_MSI_64);
	/* The guest moves it to another CPU: the same descriptor. */
	put(MSI + 4, SPEC_LAPIC | 0x1000, 4);
	assert_int_equal(msi->address, SPEC_LAPIC | 0x1000);
	assert_int_equal(fake_vfio.enables[VFIO_IRQ_MSI], 1);
	put(MSI + 2, 0, 2);
	assert_int_equal(vectors(VFIO_IRQ_MSI)[0], -1);
	assert_int_equal(machine.msi_count, 0);
	assert_true(machine.intx_trigger >= 0);
}

static void test_several_messages(void **state _unused_)
{
	fake_vfio.irqs[VFIO_IRQ_MSI] = 4;
	fake_vfio_config_put(MSI + 2, 0x0184, 2); /* four vectors, with masks */
	open_device();
	put(MSI + 2, 0x0020, 2); /* Multiple Message Enable: 4 */
	msi_write(0x43, false);
	put(MSI + 16, 0x4, 4); /* the third is masked */
	put(MSI + 2, 0x0021, 2);
	assert_int_equal(machine.msi_count, 4);
	assert_non_null(fake_msi_by_data(&machine, 0x40));
	assert_non_null(fake_msi_by_data(&machine, 0x41));
	assert_null(fake_msi_by_data(&machine, 0x42));
	assert_non_null(fake_msi_by_data(&machine, 0x43));
	put(MSI + 16, 0, 4);
	assert_non_null(fake_msi_by_data(&machine, 0x42));
	/* More than it has: as many as it has. */
	put(MSI + 2, 0x0071, 2);
	assert_int_equal(machine.msi_count, 4);
	put(MSI + 2, 0x0001, 2);
	assert_int_equal(machine.msi_count, 1);
}

static void test_msi_refused(void **state _unused_)
{
	open_device();
	fake_vfio.fails.request = VFIO_DEVICE_SET_IRQS;
	fake_vfio.fails.code = ENOSPC;
	msi_write(0x31, true);
	assert_int_equal(machine.msi_count, 0);
	/* The guest tries again, and the host has vectors now. */
	fake_vfio.fails.request = 0;
	msi_write(0x31, true);
	assert_int_equal(machine.msi_count, 1);
	assert_non_null(fake_msi_by_data(&machine, 0x31));
}

/* Eight vectors, table at 0x2000 and PBA at 0x3000 of BAR 0. */
static void add_msix(void)
{
	fake_vfio.irqs[VFIO_IRQ_MSIX] = 8;
	fake_vfio_config_put(MSI + 1, 0xa0, 1);
	fake_vfio_config_put(0xa0, 0x00070011, 4);
	fake_vfio_config_put(0xa4, 0x2000, 4);
	fake_vfio_config_put(0xa8, 0x3000, 4);
}

static void msix_entry(unsigned int vector, uint32_t data, bool masked)
{
	uint64_t at = BAR0 + 0x2000 + 16 * vector;

	fake_mmio_write(&machine, at, SPEC_LAPIC, 4);
	fake_mmio_write(&machine, at + 4, 0, 4);
	fake_mmio_write(&machine, at + 8, data, 4);
	fake_mmio_write(&machine, at + 12, masked, 4);
}

static void msix_begin(void)
{
	add_msix();
	open_device();
	assert_int_equal(find_cap(SPEC_CAP_MSIX), 0xa0);
	put(SPEC_BAR0, BAR0, 4);
	put(SPEC_COMMAND, SPEC_CMD_MEMORY, 2);
	put(0xa2, SPEC_MSIX_ON, 2);
}

static void test_msix(void **state _unused_)
{
	msix_begin();
	/* The pages of table and PBA are not the guest's. */
	assert_int_equal(machine.memory_count, 2);
	for (unsigned int i = 0; i < 2; i++)
		assert_true(machine.memory[i].gpa + machine.memory[i].size <= BAR0 + 0x2000 ||
			    machine.memory[i].gpa >= BAR0 + 0x4000);
	assert_true(machine.intx_trigger < 0);
	msix_entry(2, 0x62, false);
	assert_int_equal(vectors(VFIO_IRQ_MSIX)[2], fake_msi_by_data(&machine, 0x62)->eventfd);
	assert_int_equal(vectors(VFIO_IRQ_MSIX)[0], -1);
	/* One more is added, those that are there stay. */
	msix_entry(5, 0x65, false);
	assert_int_equal(vectors(VFIO_IRQ_MSIX)[5], fake_msi_by_data(&machine, 0x65)->eventfd);
	assert_int_equal(fake_vfio.enables[VFIO_IRQ_MSIX], 1);
	/* A mask holds back in the machine; the device keeps signalling. */
	msix_entry(2, 0x62, true);
	assert_null(fake_msi_by_data(&machine, 0x62));
	assert_true(vectors(VFIO_IRQ_MSIX)[2] >= 0);
	put(0xa2, 0, 2);
	assert_int_equal(vectors(VFIO_IRQ_MSIX)[2], -1);
	assert_int_equal(vectors(VFIO_IRQ_MSIX)[5], -1);
	assert_true(machine.intx_trigger >= 0);
	/* The registers of the device beside the table are its own. */
	fake_mmio_write(&machine, BAR0 + 0x2800, 0x99, 4);
	assert_int_equal(fake_mmio_read(&machine, BAR0 + 0x2800, 4), 0x99);
}

static void test_msix_of_fixed_size(void **state _unused_)
{
	fake_vfio.no_resize = true;
	msix_begin();
	msix_entry(1, 0x61, false);
	msix_entry(7, 0x67, false);
	assert_int_equal(vectors(VFIO_IRQ_MSIX)[1], fake_msi_by_data(&machine, 0x61)->eventfd);
	assert_int_equal(vectors(VFIO_IRQ_MSIX)[7], fake_msi_by_data(&machine, 0x67)->eventfd);
	assert_int_equal(fake_vfio.enables[VFIO_IRQ_MSIX], 1);
}

static void test_msix_in_two_bars(void **state _unused_)
{
	add_msix();
	fake_vfio_config_put(0xa8, 0x3001, 4);
	fake_vfio.regions[1].size = 0x4000;
	open_device();
	/* Both are in a BAR of their own then, the first that is free. */
	assert_int_equal(get(0xa4, 4) & 7, 2);
	assert_int_equal(get(0xa8, 4) & 7, 2);
}

static void test_reports(void **state _unused_)
{
	int fd;

	open_device();
	fd = vectors(VFIO_IRQ_REQUEST)[0];
	assert_true(fd >= 0);
	assert_int_equal(eventfd_write(fd, 1), 0);
	loop_until(loop, events[VFIO_PCI_EVENT_REQUEST]);
	assert_int_equal(events[VFIO_PCI_EVENT_ERROR], 0);
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
		T(test_bars),
		T(test_no_slot),
		T(test_strange_bar),
		T(test_chain),
		T(test_power),
		T(test_ring_of_capabilities),
		T(test_intx),
		T(test_no_intx),
		T(test_msi),
		T(test_several_messages),
		T(test_msi_refused),
		T(test_msix),
		T(test_msix_of_fixed_size),
		T(test_msix_in_two_bars),
		T(test_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
