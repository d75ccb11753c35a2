/* SPDX-License-Identifier: Apache-2.0 */
/* A fake machine around a PCI function: guest memory, vectors, doorbells, a map of BARs. */
#ifndef HOLDFAST_TESTS_UNIT_PCI_FAKE_H
#define HOLDFAST_TESTS_UNIT_PCI_FAKE_H

#include <stdatomic.h>

#include "devices/pci/pci.h"
#include "tests/unit/device_test.h"

#define FAKE_RAM_BASE  0x100000ULL
#define FAKE_RAM_SIZE  0x100000ULL
#define FAKE_BARS_MAX  16
#define FAKE_BELLS_MAX 128

struct fake_msi {
	struct fake_machine *machine;
	uint64_t address;
	uint32_t data;
	bool masked;
	int eventfd; /* FD_NONE until asked for */
	atomic_uint fired;
};

struct fake_bar {
	bool io_space;
	uint64_t base, size;
	const struct io_ops *ops;
	void *opaque;
};

struct fake_bell {
	uint64_t gpa;
	unsigned int size;
	int eventfd;
};

struct fake_memory {
	uint64_t gpa, size;
	void *memory;
};

struct fake_machine {
	uint8_t ram[FAKE_RAM_SIZE] __attribute__((aligned(4096)));
	uint64_t ram_used; /* bytes given out by driver_alloc() */
	struct fake_line line;
	struct fake_bar bars[FAKE_BARS_MAX];
	unsigned int bar_count;
	struct fake_bell bells[FAKE_BELLS_MAX];
	unsigned int bell_count;
	unsigned int msi_count; /* allocated now */
	struct fake_memory memory[FAKE_BARS_MAX];
	unsigned int memory_count;
	int intx_trigger, intx_resample; /* FD_NONE: not assigned */
	bool refuse_map, refuse_msi, refuse_memory, refuse_intx;
	struct pci_attach attach;
};

void fake_machine_init(struct fake_machine *m);
/* The function is given no way for the kernel to signal its pin, or to map memory, unless this is
 * called. */
void fake_machine_offer_fds(struct fake_machine *m);
/* Nothing may be left of a function that is gone. */
void fake_machine_check_empty(const struct fake_machine *m);

/* A guest's MMIO (or port) access; all ones where nothing is. */
uint64_t fake_mmio_read(struct fake_machine *m, uint64_t addr, unsigned int size);
void fake_mmio_write(struct fake_machine *m, uint64_t addr, uint64_t value, unsigned int size);
uint8_t *fake_ram(struct fake_machine *m, uint64_t gpa);

/* The fake behind vector `vector`, by the data that was written into its table entry; NULL: none
 * unmasked. */
struct fake_msi *fake_msi_by_data(struct fake_machine *m, uint32_t data);
extern struct fake_msi *fake_msis[PCI_VECTORS_MAX]; /* in order of allocation, until freed */

#endif
