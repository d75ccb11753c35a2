/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that is passed through, on a kernel that is played by the test: where its BARs are
 * mapped, and which interrupts are set up. Expectations are from PCI Local Bus 3.0, chapter 6.
 */
#include "tests/unit/vfio_pci_test.h"

#define SPEC_CAP_MSI  0x05
#define SPEC_CAP_MSIX 0x11
#define SPEC_MSI_64   0x0080
#define SPEC_MSIX_ON  0x8000

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

/* Another device's driver tells it where this one's memory is: at the guest's address. */
static void test_shared_memory(void **state _unused_)
{
	fake_vfio.gives_dmabufs = true;
	open_device();
	put(SPEC_BAR0, BAR0, 4);
	put(SPEC_COMMAND, SPEC_CMD_MEMORY, 2);
	assert_int_equal(fake_vfio.dmabufs, 1);
	assert_int_equal(fake_vfio.maps_by_file, 1);
	assert_int_equal(fake_vfio.last_iova, BAR0);
	assert_int_equal(fake_vfio.last_length, 0x100000);
	put(SPEC_BAR0, BAR0 + 0x1000000, 4);
	assert_int_equal(fake_vfio.unmaps, 1);
	assert_int_equal(fake_vfio.last_iova, BAR0 + 0x1000000);
	put(SPEC_COMMAND, 0, 2);
	assert_int_equal(fake_vfio.unmaps, 2);
}

/* PCI Express at 0x60, Advanced Features at 0xa0, behind MSI; both can reset the function. */
#define EXP	    0x60U
#define EXP_CONTROL (EXP + 8)
#define EXP_FLR	    0x8000U
#define AF	    0xa0U
#define AF_CONTROL  (AF + 4)
#define AF_FLR	    0x01U

/* The kernel takes a device's memory from the others when it is reset, for good (Linux 7.3,
 * iopt_revoke_notify()). */
static void test_memory_shared_after_reset(void **state _unused_)
{
	unsigned int times = 1;

	fake_vfio.gives_dmabufs = true;
	fake_vfio_config_put(0x41, EXP, 1);
	fake_vfio_config_put(EXP, 0x00020010 | AF << 8, 4);
	fake_vfio_config_put(AF, 0x03060013, 4);
	open_device();
	put(SPEC_BAR0, BAR0, 4);
	put(SPEC_COMMAND, SPEC_CMD_MEMORY, 2);
	/* What resets nothing. */
	put(EXP_CONTROL, EXP_FLR - 1, 2);
	put(EXP_CONTROL + 2, EXP_FLR, 2);
	put(AF_CONTROL, 0xfe, 1);
	assert_int_equal(fake_vfio.maps_by_file, times);
	put(EXP_CONTROL, EXP_FLR, 2);
	assert_int_equal(fake_vfio.maps_by_file, ++times);
	put(EXP_CONTROL, EXP_FLR, 4);
	assert_int_equal(fake_vfio.maps_by_file, ++times);
	put(EXP_CONTROL + 1, EXP_FLR >> 8, 1);
	assert_int_equal(fake_vfio.maps_by_file, ++times);
	put(AF_CONTROL, AF_FLR, 1);
	assert_int_equal(fake_vfio.maps_by_file, ++times);
	assert_int_equal(fake_vfio.unmaps, times - 1);
	assert_int_equal(fake_vfio.last_iova, BAR0);
	/* Memory that is not in the guest is in no other device's reach. */
	put(SPEC_COMMAND, 0, 2);
	assert_int_equal(fake_vfio.unmaps, times);
	put(EXP_CONTROL, EXP_FLR, 2);
	assert_int_equal(fake_vfio.maps_by_file, times);
}

/* A kernel that cannot is asked once, and the guest has the memory all the same. */
static void test_memory_that_cannot_be_shared(void **state _unused_)
{
	open_device();
	put(SPEC_BAR0, BAR0, 4);
	put(SPEC_COMMAND, SPEC_CMD_MEMORY, 2);
	assert_int_equal(machine.memory_count, 1);
	assert_int_equal(fake_vfio.maps_by_file, 0);
	fake_vfio.gives_dmabufs = true;
	put(SPEC_BAR0, BAR0 + 0x1000000, 4);
	assert_int_equal(fake_vfio.dmabufs, 0);
	assert_int_equal(machine.memory_count, 1);
	put(SPEC_COMMAND, 0, 2);
	assert_int_equal(fake_vfio.unmaps, 0);
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

static void test_error_is_reported(void **state _unused_)
{
	struct vfio_pci_counters counters;

	fake_vfio.irqs[VFIO_IRQ_ERROR] = 1;
	open_device();
	for (unsigned int i = 1; i <= 2; i++) {
		assert_int_equal(eventfd_write(vectors(VFIO_IRQ_ERROR)[0], 1), 0);
		loop_until(loop, events[VFIO_PCI_EVENT_ERROR] == i);
	}
	vfio_pci_get_counters(v, &counters);
	assert_int_equal(counters.errors, 2);
	assert_int_equal(counters.requests, 0);
}

/* After a reset that it was not asked for, a device decodes nothing (PCI 3.0, 6.2.2); one that has
 * gone answers ones (6.1). */
static void test_lost(void **state _unused_)
{
	uint32_t identity = fake_vfio_config_get(0, 4);

	open_device();
	assert_false(vfio_pci_is_lost(v));
	put(SPEC_COMMAND, SPEC_CMD_MEMORY | SPEC_CMD_MASTER, 2);
	assert_false(vfio_pci_is_lost(v));
	put(SPEC_COMMAND, 0, 2);
	assert_false(vfio_pci_is_lost(v));
	fake_vfio_config_put(SPEC_COMMAND, 0, 2);
	assert_true(vfio_pci_is_lost(v));
	fake_vfio_config_put(SPEC_COMMAND, SPEC_CMD_MEMORY, 2);
	assert_false(vfio_pci_is_lost(v));
	fake_vfio_config_put(0, UINT32_MAX, 4);
	assert_true(vfio_pci_is_lost(v));
	fake_vfio_config_put(0, identity, 4);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_bars),
		T(test_shared_memory),
		T(test_memory_shared_after_reset),
		T(test_memory_that_cannot_be_shared),
		T(test_no_slot),
		T(test_strange_bar),
		T(test_intx),
		T(test_no_intx),
		T(test_msi),
		T(test_several_messages),
		T(test_msi_refused),
		T(test_msix),
		T(test_msix_of_fixed_size),
		T(test_msix_in_two_bars),
		T(test_reports),
		T(test_error_is_reported),
		T(test_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
