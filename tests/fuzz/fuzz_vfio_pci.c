/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that is passed through. Both sides are hostile: the input first makes the device, its
 * configuration space and the sizes of its BARs, and is then what a guest does.
 */
#include "devices/vfio/vfio_pci.h"

#include "iommu/vfio.h"
#include "tests/fuzz/fuzz_machine.h"
#include "tests/unit/fake_vfio.h"

#define CONFIG	    7U
#define COMMAND	    0x04U
#define ROM	    0x30U
#define DECODING    0x03U
#define EVENTFD	    3000
#define MEMORY_MAX  64U
#define PATCHES_MAX 24U

enum { OP_CONFIG_READ, OP_CONFIG_WRITE, OP_BAR_READ, OP_BAR_WRITE, OP_COUNT };

static struct {
	uint64_t gpa, size;
} memory[MEMORY_MAX];
static unsigned int memory_count;

static int msi_eventfd(void *opaque _unused_, void *msi _unused_, struct error *err _unused_)
{
	return EVENTFD;
}

/* Only where the function has a BAR at this moment. */
static int map_memory(void *opaque, uint64_t gpa, uint64_t size, void *at, struct error *err)
{
	const struct fuzz_machine *m = opaque;
	bool inside = false;

	must(at && gpa % 4096 == 0 && size % 4096 == 0 && size > 0);
	for (unsigned int i = 0; i < m->bar_count; i++)
		inside = inside || (!m->bars[i].io_space && gpa >= m->bars[i].base &&
				    size <= m->bars[i].size &&
				    gpa - m->bars[i].base <= m->bars[i].size - size);
	must(inside);
	if (memory_count == MEMORY_MAX)
		return error_set(err, -ENOSPC, "no slot");
	memory[memory_count].gpa = gpa;
	memory[memory_count++].size = size;
	return 0;
}

static void unmap_memory(void *opaque _unused_, uint64_t gpa)
{
	unsigned int i = 0;

	while (i < memory_count && memory[i].gpa != gpa)
		i++;
	must(i < memory_count);
	memory[i] = memory[--memory_count];
}

static int intx_assign(void *opaque _unused_, int trigger, int resample, struct error *err _unused_)
{
	must(trigger >= 0 && resample >= 0);
	return 0;
}

static void intx_remove(void *opaque _unused_, int trigger)
{
	must(trigger >= 0);
}

static void make_device(struct fuzz_input *in)
{
	static const uint8_t log2_sizes[] = {0, 4, 8, 12, 13, 16, 20, 22};
	unsigned int patches = fuzz_u8(in) % PATCHES_MAX;

	fake_vfio_again();
	for (unsigned int bar = 0; bar < 6; bar++) {
		uint8_t what = fuzz_u8(in);

		fake_vfio.regions[bar].size = what & 7 ? 1ULL << log2_sizes[what & 7] : 0;
		fake_vfio.regions[bar].mappable = what & 8;
		fake_vfio.regions[bar].areas = what & 16 ? 1 : 0;
		fake_vfio.regions[bar].area[0].offset = (uint64_t)(what >> 5) * 2048;
		fake_vfio.regions[bar].area[0].size = fake_vfio.regions[bar].size;
	}
	fake_vfio.irqs[VFIO_IRQ_MSI] = fuzz_u8(in) % 33;
	fake_vfio.irqs[VFIO_IRQ_MSIX] = fuzz_u8(in) % (FAKE_VFIO_VECTORS + 1);
	fake_vfio.no_resize = fuzz_u8(in) & 1;
	for (unsigned int i = 0; i < patches; i++) {
		unsigned int offset = fuzz_u8(in) & 0xfcU;
		uint32_t value = 0;

		for (unsigned int k = 0; k < 4; k++)
			value |= (uint32_t)fuzz_u8(in) << (8 * k);
		fake_vfio_config_put(offset, value, 4);
	}
}

static bool is_on(enum vfio_irq irq)
{
	for (unsigned int i = 0; i < FAKE_VFIO_VECTORS; i++) {
		if (fake_vfio.vectors[irq][i] >= 0)
			return true;
	}
	return false;
}

static void check(struct pci_device *pci, uint32_t identity)
{
	must(pci_config_read(pci, 0, 4) == identity);
	must(pci_config_read(pci, ROM, 4) == 0);
	/* What is mapped into the guest must answer. */
	must((fake_vfio_config_get(COMMAND, 2) & DECODING) == DECODING);
	must(is_on(VFIO_IRQ_INTX) + is_on(VFIO_IRQ_MSI) + is_on(VFIO_IRQ_MSIX) <= 1);
}

static void run(struct fuzz_machine *m, struct vfio_pci *v, struct fuzz_input *in)
{
	struct pci_device *pci = vfio_pci_function(v);
	uint32_t identity = fake_vfio_config_get(0, 4);

	for (unsigned int i = 0; i < FUZZ_OPS_MAX && in->size > 0; i++) {
		uint8_t op = fuzz_u8(in) % OP_COUNT;

		if (op <= OP_CONFIG_WRITE)
			fuzz_config_access(pci, in, op == OP_CONFIG_WRITE);
		else
			fuzz_bar_access(m, in, op == OP_BAR_WRITE);
	}
	check(pci, identity);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct intx_fd_ops intx = {.assign = intx_assign, .remove = intx_remove};
	static const struct vfio_pci_config config = {
		.host = FAKE_VFIO_ADDRESS, .fd = FD_NONE, .id = "fuzz"};
	static struct iommufd *io;
	static struct loop *loop;
	struct fuzz_input in = {.data = data, .size = size};
	struct vfio_pci *v = NULL;
	struct fuzz_machine m;
	struct msi_ops msi;

	fuzz_quiet();
	if (!io) {
		fake_vfio_begin();
		atexit(fake_vfio_end);
		must(iommufd_open("/dev/null", &io, NULL) == 0 && loop_new(&loop, NULL) == 0);
	}
	make_device(&in);
	memory_count = 0;
	fuzz_machine_init(&m);
	msi = *m.attach.msi;
	msi.eventfd = msi_eventfd;
	m.attach.msi = &msi;
	m.attach.map_memory = map_memory;
	m.attach.unmap_memory = unmap_memory;
	m.attach.intx_fds = &intx;
	if (vfio_pci_new(&(struct vfio_pci_params){.config = &config,
						   .kept_fd = FD_NONE,
						   .root = fake_vfio.root,
						   .io = io,
						   .loop = loop,
						   .attach = &m.attach},
			 &v, NULL) == 0)
		run(&m, v, &in);
	vfio_pci_free(v);
	must(memory_count == 0 && !fake_vfio.attached);
	fuzz_machine_done(&m);
	return 0;
}
