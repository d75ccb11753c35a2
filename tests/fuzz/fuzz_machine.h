/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers give a PCI function: guest memory, vectors, doorbells, room for BARs. */
#ifndef HOLDFAST_TESTS_FUZZ_FUZZ_MACHINE_H
#define HOLDFAST_TESTS_FUZZ_FUZZ_MACHINE_H

#include "devices/pci/pci.h"
#include "tests/fuzz/fuzz_state.h"

#define FUZZ_RAM_BASE 0x10000ULL
#define FUZZ_RAM_SIZE 0x10000ULL
#define FUZZ_BARS_MAX 8

struct fuzz_bar {
	bool io_space;
	uint64_t base, size;
	const struct io_ops *ops;
	void *opaque;
};

struct fuzz_machine {
	uint8_t *ram; /* owned; an allocation, so that every byte outside of it is noticed */
	struct fuzz_bar bars[FUZZ_BARS_MAX];
	unsigned int bar_count, msi_count, bell_count;
	bool line;
	struct pci_attach attach;
};

struct fuzz_msi {
	struct fuzz_machine *machine;
	bool masked;
};

static inline void *fuzz_ram(void *opaque, uint64_t gpa, uint64_t len)
{
	struct fuzz_machine *m = opaque;

	if (len == 0 || gpa < FUZZ_RAM_BASE || gpa - FUZZ_RAM_BASE >= FUZZ_RAM_SIZE ||
	    len > FUZZ_RAM_SIZE - (gpa - FUZZ_RAM_BASE))
		return NULL;
	return &m->ram[gpa - FUZZ_RAM_BASE];
}

static inline int fuzz_msi_alloc(void *opaque, void **ret_msi, struct error *err _unused_)
{
	struct fuzz_machine *m = opaque;
	struct fuzz_msi *msi = calloc(1, sizeof(*msi));

	must(msi);
	*msi = (struct fuzz_msi){m, true};
	m->msi_count++;
	*ret_msi = msi;
	return 0;
}

static inline int fuzz_msi_set(void *opaque _unused_, void *msi, uint64_t address _unused_,
			       uint32_t data _unused_, bool masked, struct error *err _unused_)
{
	((struct fuzz_msi *)msi)->masked = masked;
	return 0;
}

static inline void fuzz_msi_fire(void *opaque _unused_, void *msi)
{
	must(!((struct fuzz_msi *)msi)->masked);
}

static inline int fuzz_msi_eventfd(void *opaque _unused_, void *msi _unused_, struct error *err)
{
	return error_set(err, -EOPNOTSUPP, "no eventfd");
}

static inline bool fuzz_msi_pending(void *opaque _unused_, void *msi _unused_)
{
	return false;
}

static inline void fuzz_msi_free(void *opaque, void *msi)
{
	((struct fuzz_machine *)opaque)->msi_count--;
	free(msi);
}

static inline int fuzz_bell_add(void *opaque, uint64_t gpa _unused_, unsigned int size _unused_,
				int eventfd _unused_, struct error *err _unused_)
{
	((struct fuzz_machine *)opaque)->bell_count++;
	return 0;
}

static inline void fuzz_bell_remove(void *opaque, uint64_t gpa _unused_, unsigned int size _unused_,
				    int eventfd _unused_)
{
	must(((struct fuzz_machine *)opaque)->bell_count-- > 0);
}

static inline int fuzz_map_bar(void *opaque, bool io_space, uint64_t base, uint64_t size,
			       const struct io_ops *ops, void *ops_opaque, struct error *err)
{
	struct fuzz_machine *m = opaque;

	must(base % size == 0);
	for (unsigned int i = 0; i < m->bar_count; i++) {
		const struct fuzz_bar *b = &m->bars[i];

		if (b->io_space == io_space && base < b->base + b->size && b->base < base + size)
			return error_set(err, -EEXIST, "overlaps");
	}
	must(m->bar_count < FUZZ_BARS_MAX);
	m->bars[m->bar_count++] = (struct fuzz_bar){io_space, base, size, ops, ops_opaque};
	return 0;
}

static inline void fuzz_unmap_bar(void *opaque, bool io_space, uint64_t base)
{
	struct fuzz_machine *m = opaque;
	unsigned int i = 0;

	while (i < m->bar_count && (m->bars[i].io_space != io_space || m->bars[i].base != base))
		i++;
	must(i < m->bar_count);
	m->bars[i] = m->bars[--m->bar_count];
}

static inline void fuzz_machine_init(struct fuzz_machine *m)
{
	static const struct msi_ops msi = {.alloc = fuzz_msi_alloc,
					   .set = fuzz_msi_set,
					   .fire = fuzz_msi_fire,
					   .eventfd = fuzz_msi_eventfd,
					   .pending = fuzz_msi_pending,
					   .free = fuzz_msi_free};
	static const struct doorbell_ops bells = {.add = fuzz_bell_add, .remove = fuzz_bell_remove};

	*m = (struct fuzz_machine){.ram = calloc(1, FUZZ_RAM_SIZE)};
	must(m->ram);
	m->attach = (struct pci_attach){.memory = {fuzz_ram, m},
					.intx = {fuzz_line_set, &m->line},
					.msi = &msi,
					.msi_opaque = m,
					.doorbells = &bells,
					.doorbell_opaque = m,
					.map_bar = fuzz_map_bar,
					.unmap_bar = fuzz_unmap_bar,
					.bar_opaque = m};
}

/* Nothing may be left of a function that is gone. */
static inline void fuzz_machine_done(struct fuzz_machine *m)
{
	must(m->bar_count == 0 && m->msi_count == 0 && m->bell_count == 0 && !m->line);
	free(m->ram);
}

static inline unsigned int fuzz_u16(struct fuzz_input *in)
{
	unsigned int low = fuzz_u8(in);

	return low | (unsigned int)fuzz_u8(in) << 8;
}

/* An access to a BAR that is mapped: which, offset, size[, value]. */
static inline void fuzz_bar_access(struct fuzz_machine *m, struct fuzz_input *in, bool write)
{
	unsigned int index = fuzz_u8(in), size = 1U << fuzz_u8(in) % 4;
	uint64_t offset = fuzz_u16(in);
	struct fuzz_bar bar;

	if (m->bar_count == 0)
		return;
	bar = m->bars[index % m->bar_count];
	offset %= bar.size;
	while (offset + size > bar.size)
		size /= 2;
	if (write)
		bar.ops->write(bar.opaque, offset, fuzz_u64(in), size);
	else
		bar.ops->read(bar.opaque, offset, size);
}

/* An access to configuration space: offset, size[, value]. */
static inline void fuzz_config_access(struct pci_device *dev, struct fuzz_input *in, bool write)
{
	unsigned int offset = fuzz_u16(in) % PCI_CONFIG_SIZE, size = 1U << fuzz_u8(in) % 3;

	if (write)
		pci_config_write(dev, offset, (uint32_t)fuzz_u64(in), size);
	else
		pci_config_read(dev, offset, size);
}

#endif
