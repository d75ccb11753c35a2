/* SPDX-License-Identifier: Apache-2.0 */
/* A function with BARs of every kind, for the tests of devices/pci. */
#ifndef HOLDFAST_TESTS_UNIT_PCI_TEST_H
#define HOLDFAST_TESTS_UNIT_PCI_TEST_H

#include "devices/pci/pci_host.h"
#include "devices/pci/pci_place.h"
#include "tests/unit/pci_fake.h"

/* PCI Local Bus 3.0, 6.1 and 6.2. */
#define SPEC_VENDOR_ID	    0x00
#define SPEC_DEVICE_ID	    0x02
#define SPEC_COMMAND	    0x04
#define SPEC_STATUS	    0x06
#define SPEC_REVISION	    0x08
#define SPEC_CACHE_LINE	    0x0c
#define SPEC_HEADER_TYPE    0x0e
#define SPEC_BAR0	    0x10
#define SPEC_SUBSYS_VENDOR  0x2c
#define SPEC_SUBSYS_ID	    0x2e
#define SPEC_ROM	    0x30
#define SPEC_CAP_POINTER    0x34
#define SPEC_INT_LINE	    0x3c
#define SPEC_INT_PIN	    0x3d
#define SPEC_CMD_IO	    0x0001
#define SPEC_CMD_MEMORY	    0x0002
#define SPEC_CMD_MASTER	    0x0004
#define SPEC_CMD_NO_INTX    0x0400
#define SPEC_STS_INTERRUPT  0x0008
#define SPEC_STS_CAP_LIST   0x0010
#define SPEC_BAR_IO	    0x1
#define SPEC_BAR_64	    0x4
#define SPEC_BAR_PREFETCH   0x8
#define SPEC_CAP_VENDOR	    0x09
#define SPEC_CONFIG_ADDRESS 0x80000000U

#define MEM32_ADDR 0xc0000000U
#define MEM64_ADDR 0x4000000000ULL
#define IO_ADDR	   0xc000U

struct pci_test {
	struct fake_machine machine;
	struct pci_device *dev;
	uint64_t registers[3]; /* of BAR 0, 1 and 4: one each */
	uint64_t moved;
	uint16_t command;
};

static inline uint64_t bar_read(void *opaque, uint64_t offset, unsigned int size _unused_)
{
	return offset ? 0 : *(uint64_t *)opaque;
}

static inline void bar_write(void *opaque, uint64_t offset, uint64_t value,
			     unsigned int size _unused_)
{
	if (offset == 0)
		*(uint64_t *)opaque = value;
}

static const struct io_ops bar_ops = {.name = "test", .read = bar_read, .write = bar_write};

static inline void on_moved(void *opaque, uint64_t base)
{
	struct pci_test *t =
		(struct pci_test *)((char *)opaque - offsetof(struct pci_test, registers));

	t->moved = base;
}

static inline void on_command(void *opaque, uint16_t command)
{
	struct pci_test *t = opaque;

	t->command = command;
}

static struct pci_params params_of(struct pci_test *t)
{
	return (struct pci_params){
		.name = "test",
		.vendor_id = 0x1af4,
		.device_id = 0x1042,
		.subsystem_vendor_id = 0x1234,
		.subsystem_id = 0x5678,
		.class_code = 0x010203,
		.revision = 7,
		.interrupt_pin = 1,
		.bars =
			{
				[0] = {.kind = PCI_BAR_MEM32,
				       .size = 0x4000,
				       .ops = &bar_ops,
				       .opaque = &t->registers[0],
				       .moved = on_moved},
				[1] = {.kind = PCI_BAR_IO,
				       .size = 32,
				       .ops = &bar_ops,
				       .opaque = &t->registers[1]},
				[4] = {.kind = PCI_BAR_MEM64_PREFETCH,
				       .size = 1ULL << 33,
				       .ops = &bar_ops,
				       .opaque = &t->registers[2]},
			},
		.msix_vectors = 3,
		.msix_bar = 2,
		.command_changed = on_command,
		.opaque = t,
	};
}

static inline void make(struct pci_test *t)
{
	struct pci_params params;

	memset(t, 0, sizeof(*t));
	fake_machine_init(&t->machine);
	params = params_of(t);
	assert_int_equal(pci_device_new(&params, &t->machine.attach, &t->dev, NULL), 0);
}

static inline void unmake(struct pci_test *t)
{
	pci_device_free(t->dev);
	fake_machine_check_empty(&t->machine);
}

#endif
