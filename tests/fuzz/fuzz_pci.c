/* SPDX-License-Identifier: Apache-2.0 */
/* A PCI function: configuration space, BARs of every kind, MSI-X table, INTA, states. */
#include "tests/fuzz/fuzz_machine.h"

#define VECTORS 70

enum {
	OP_CONFIG_READ,
	OP_CONFIG_WRITE,
	OP_BAR_READ,
	OP_BAR_WRITE,
	OP_FIRE,
	OP_INTX,
	OP_ROUND_TRIP,
	OP_LOAD,
	OP_RESUMED,
	OP_COUNT,
};

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned int size)
{
	return *(uint64_t *)opaque ^ offset ^ size;
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	*(uint64_t *)opaque = value ^ offset ^ size;
}

static const struct io_ops bar_ops = {.name = "fuzz", .read = bar_read, .write = bar_write};

static int save(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	pci_device_save(obj, w);
	return 0;
}

static int load(void *obj, uint32_t version _unused_, struct state_reader *r, enum state_mode mode,
		struct error *err)
{
	int ret = state_reader_done(r, err);

	return ret < 0 ? ret : pci_device_load(obj, r, mode, err);
}

static const struct state_ops ops = {
	.name = "fuzz", .version = 1, .min_version = 1, .save = save, .load = load};

static struct pci_device *make(struct fuzz_machine *m, uint64_t *value)
{
	const struct pci_bar bar = {.ops = &bar_ops, .opaque = value};
	struct pci_params params = {
		.name = "fuzz",
		.vendor_id = 0x1af4,
		.device_id = 0x1234,
		.class_code = 0xff0000,
		.interrupt_pin = 1,
		.bars = {[0] = bar, [1] = bar, [2] = bar, [4] = bar},
		.msix_vectors = VECTORS,
		.msix_bar = 2,
		.msix_table_offset = 0x1000,
		.msix_pba_offset = 0x800,
	};
	struct pci_device *dev;

	params.bars[0].kind = PCI_BAR_MEM32;
	params.bars[1].kind = PCI_BAR_IO;
	params.bars[2].kind = PCI_BAR_MEM64;
	params.bars[4].kind = PCI_BAR_MEM64_PREFETCH;
	params.bars[0].size = 0x1000;
	params.bars[1].size = 0x40;
	params.bars[2].size = 0x4000;
	params.bars[4].size = 1ULL << 33;
	fuzz_machine_init(m);
	must(pci_device_new(&params, &m->attach, &dev, NULL) == 0);
	return dev;
}

static void round_trip(struct pci_device *from, struct pci_device *to)
{
	struct fuzz_device d = {.state = &ops, .obj = from, .other = to};

	fuzz_round_trip(&d);
}

static void one_op(struct fuzz_machine *m, struct pci_device *dev, struct pci_device *other,
		   struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in) % OP_COUNT;

	switch (op) {
	case OP_CONFIG_READ:
	case OP_CONFIG_WRITE:
		fuzz_config_access(dev, in, op == OP_CONFIG_WRITE);
		break;
	case OP_BAR_READ:
	case OP_BAR_WRITE:
		fuzz_bar_access(m, in, op == OP_BAR_WRITE);
		break;
	case OP_FIRE:
		pci_msix_fire(dev, fuzz_u8(in));
		break;
	case OP_INTX:
		pci_intx_set(dev, fuzz_u8(in) & 1);
		break;
	case OP_ROUND_TRIP:
		round_trip(dev, other);
		break;
	case OP_LOAD:
		fuzz_load_nested(&ops, dev, in);
		break;
	default:
		pci_device_resumed(dev);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.data = data, .size = size};
	uint64_t value = 0, other_value = 0;
	struct fuzz_machine m, other_m;
	struct pci_device *dev, *other;

	fuzz_quiet();
	dev = make(&m, &value);
	other = make(&other_m, &other_value);
	for (unsigned int i = 0; i < FUZZ_OPS_MAX && in.size > 0; i++)
		one_op(&m, dev, other, &in);
	round_trip(dev, other);
	must(m.line == other_m.line);
	/* Who it is cannot be written. */
	must(pci_config_read(dev, 0, 4) == 0x12341af4);
	must(pci_config_read(dev, 8, 4) == 0xff000000);
	pci_device_free(dev);
	pci_device_free(other);
	fuzz_machine_done(&m);
	fuzz_machine_done(&other_m);
	return 0;
}
