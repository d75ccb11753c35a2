/* SPDX-License-Identifier: Apache-2.0 */
/* devices/pci: MSI-X table, PBA and masks; a mask against a vector that fires. */
#include <pthread.h>

#include "tests/unit/pci_fake.h"

/* PCI Local Bus 3.0, 6.8.2. */
#define SPEC_CAP_MSIX	   0x11
#define SPEC_CAP_POINTER   0x34
#define SPEC_MSG_CONTROL   2
#define SPEC_TABLE	   4
#define SPEC_PBA	   8
#define SPEC_ENABLE	   0x8000
#define SPEC_FUNCTION_MASK 0x4000
#define SPEC_ENTRY	   16
#define SPEC_ENTRY_DATA	   8
#define SPEC_ENTRY_CTRL	   12
#define SPEC_BIR	   7

#define VECTORS	 70 /* more than one qword of pending bits */
#define BAR_ADDR 0xc0000000ULL

struct msix_test {
	struct fake_machine machine;
	struct pci_device *dev;
	struct fake_msi *msi[VECTORS];
	unsigned int cap;
	uint64_t table, pba;
	uint64_t beside;
};

static uint64_t beside_read(void *opaque, uint64_t offset, unsigned int size _unused_)
{
	return *(uint64_t *)opaque + offset;
}

static void beside_write(void *opaque, uint64_t offset _unused_, uint64_t value,
			 unsigned int size _unused_)
{
	*(uint64_t *)opaque = value;
}

static const struct io_ops beside_ops = {
	.name = "beside", .read = beside_read, .write = beside_write};

static void make(struct msix_test *t, bool own_bar)
{
	struct pci_params p = {
		.name = "test", .interrupt_pin = 1, .msix_vectors = VECTORS, .msix_bar = 1};
	unsigned int bir;

	memset(t, 0, sizeof(*t));
	fake_machine_init(&t->machine);
	if (own_bar) {
		p.bars[1] = (struct pci_bar){.kind = PCI_BAR_MEM64,
					     .size = 0x8000,
					     .ops = &beside_ops,
					     .opaque = &t->beside};
		p.msix_table_offset = 0x2000;
		p.msix_pba_offset = 0x4000;
	}
	assert_int_equal(pci_device_new(&p, &t->machine.attach, &t->dev, NULL), 0);
	for (unsigned int i = 0; i < VECTORS; i++)
		t->msi[i] = fake_msis[i + (fake_msis[0]->machine == &t->machine ? 0 : VECTORS)];
	t->cap = pci_config_read(t->dev, SPEC_CAP_POINTER, 1);
	assert_int_equal(pci_config_read(t->dev, t->cap, 1), SPEC_CAP_MSIX);
	assert_int_equal(pci_config_read(t->dev, t->cap + SPEC_MSG_CONTROL, 2), VECTORS - 1);
	t->table = pci_config_read(t->dev, t->cap + SPEC_TABLE, 4);
	t->pba = pci_config_read(t->dev, t->cap + SPEC_PBA, 4);
	bir = t->table & SPEC_BIR;
	assert_int_equal(bir, 1);
	assert_int_equal(t->pba & SPEC_BIR, bir);
	t->table += BAR_ADDR - bir;
	t->pba += BAR_ADDR - bir;
	pci_config_write(t->dev, 0x14, BAR_ADDR, 4);
	pci_config_write(t->dev, 0x04, 0x6, 2);
	assert_int_equal(t->machine.bar_count, 1);
}

static void unmake(struct msix_test *t)
{
	pci_device_free(t->dev);
	fake_machine_check_empty(&t->machine);
}

static void control(struct msix_test *t, uint32_t value)
{
	pci_config_write(t->dev, t->cap + SPEC_MSG_CONTROL, value, 2);
}

static void program(struct msix_test *t, unsigned int vector, uint64_t address, uint32_t data)
{
	uint64_t entry = t->table + vector * SPEC_ENTRY;

	fake_mmio_write(&t->machine, entry, address & UINT32_MAX, 4);
	fake_mmio_write(&t->machine, entry + 4, address >> 32, 4);
	fake_mmio_write(&t->machine, entry + SPEC_ENTRY_DATA, data, 4);
}

static void mask(struct msix_test *t, unsigned int vector, bool masked)
{
	fake_mmio_write(&t->machine, t->table + vector * SPEC_ENTRY + SPEC_ENTRY_CTRL, masked, 4);
}

static bool pending(struct msix_test *t, unsigned int vector)
{
	uint64_t qword = fake_mmio_read(&t->machine, t->pba + vector / 64 * 8, 8);
	uint64_t dword = fake_mmio_read(&t->machine, t->pba + vector / 32 * 4, 4);

	assert_int_equal(qword >> (vector % 64) & 1, dword >> (vector % 32) & 1);
	return dword >> (vector % 32) & 1;
}

static void test_table(void **state _unused_)
{
	static struct msix_test t;

	make(&t, false);
	/* After reset every vector is masked (6.8.2.9). */
	for (unsigned int i = 0; i < VECTORS; i++)
		assert_int_equal(
			fake_mmio_read(&t.machine, t.table + i * SPEC_ENTRY + SPEC_ENTRY_CTRL, 4),
			1);
	program(&t, 69, 0x1fee00003ULL, 0x4021);
	assert_true(fake_mmio_read(&t.machine, t.table + 69 * SPEC_ENTRY, 8) == 0x1fee00000ULL);
	assert_true(fake_mmio_read(&t.machine, t.table + 69 * SPEC_ENTRY + 8, 8) ==
		    (1ULL << 32 | 0x4021));
	/* A qword writes two dwords; narrow accesses do nothing. */
	fake_mmio_write(&t.machine, t.table + 69 * SPEC_ENTRY + 8, 0x5555, 8);
	assert_int_equal(fake_mmio_read(&t.machine, t.table + 69 * SPEC_ENTRY + 8, 8), 0x5555);
	fake_mmio_write(&t.machine, t.table + 69 * SPEC_ENTRY + 8, 0, 1);
	assert_int_equal(fake_mmio_read(&t.machine, t.table + 69 * SPEC_ENTRY + 8, 4), 0x5555);
	assert_int_equal(fake_mmio_read(&t.machine, t.table + 2, 2), 0);
	/* The PBA is read-only. */
	fake_mmio_write(&t.machine, t.pba, UINT64_MAX, 8);
	assert_int_equal(fake_mmio_read(&t.machine, t.pba, 8), 0);
	unmake(&t);
}

static void test_fire_and_masks(void **state _unused_)
{
	static struct msix_test t;

	make(&t, false);
	program(&t, 2, 0xfee00000, 0x41);
	mask(&t, 2, false);
	assert_false(pci_msix_fire(t.dev, 2)); /* not enabled */
	assert_false(pending(&t, 2));
	control(&t, SPEC_ENABLE);
	assert_true(pci_msix_enabled(t.dev));
	assert_true(pci_msix_fire(t.dev, 2));
	assert_int_equal(t.msi[2]->fired, 1);
	assert_int_equal(t.msi[2]->address, 0xfee00000);
	assert_int_equal(t.msi[2]->data, 0x41);
	assert_false(pci_msix_fire(t.dev, VECTORS));

	mask(&t, 2, true);
	assert_true(pci_msix_fire(t.dev, 2));
	assert_true(pci_msix_fire(t.dev, 2));
	assert_int_equal(t.msi[2]->fired, 1);
	assert_true(pending(&t, 2));
	assert_false(pending(&t, 66));
	mask(&t, 2, false); /* one message, however often it fired (6.8.3.4) */
	assert_int_equal(t.msi[2]->fired, 2);
	assert_false(pending(&t, 2));

	control(&t, SPEC_ENABLE | SPEC_FUNCTION_MASK);
	mask(&t, 66, false);
	pci_msix_fire(t.dev, 2);
	pci_msix_fire(t.dev, 66);
	assert_true(pending(&t, 2) && pending(&t, 66));
	mask(&t, 66, true);
	control(&t, SPEC_ENABLE);
	assert_int_equal(t.msi[2]->fired, 3);
	assert_int_equal(t.msi[66]->fired, 0);
	assert_true(pending(&t, 66));
	/* Moved while unmasked: Linux does so with affinity where it can mask, others may not. */
	program(&t, 2, 0xfee01000, 0x42);
	pci_msix_fire(t.dev, 2);
	assert_int_equal(t.msi[2]->address, 0xfee01000);
	assert_int_equal(t.msi[2]->data, 0x42);
	assert_int_equal(t.msi[2]->fired, 4);
	control(&t, 0); /* switched off: nothing is left for the next owner */
	assert_true(t.msi[2]->masked);
	control(&t, SPEC_ENABLE);
	mask(&t, 66, false);
	assert_int_equal(t.msi[66]->fired, 0);
	unmake(&t);
}

static void test_kernel_signaller(void **state _unused_)
{
	static struct msix_test t;
	uint64_t one = 1;
	int fd;

	make(&t, false);
	control(&t, SPEC_ENABLE);
	assert_int_equal(pci_msix_eventfd(t.dev, VECTORS, NULL), -EINVAL);
	fd = pci_msix_eventfd(t.dev, 5, NULL);
	assert_true(fd >= 0);
	assert_int_equal(pci_msix_eventfd(t.dev, 5, NULL), fd);
	assert_int_equal(write(fd, &one, 8), 8);
	assert_true(pending(&t, 5));
	mask(&t, 5, false);
	assert_int_equal(t.msi[5]->fired, 1);
	assert_false(pending(&t, 5));
	unmake(&t);
}

static void test_refused_vector_stays_pending(void **state _unused_)
{
	static struct msix_test t;

	make(&t, false);
	control(&t, SPEC_ENABLE);
	t.machine.refuse_msi = true;
	mask(&t, 1, false);
	assert_true(pci_msix_fire(t.dev, 1));
	assert_true(pending(&t, 1));
	t.machine.refuse_msi = false;
	mask(&t, 1, false);
	assert_int_equal(t.msi[1]->fired, 1);
	unmake(&t);
}

static void test_intx_is_off_with_msix(void **state _unused_)
{
	static struct msix_test t;

	make(&t, false);
	pci_intx_set(t.dev, true);
	assert_true(t.machine.line.level);
	control(&t, SPEC_ENABLE);
	assert_false(t.machine.line.level);
	control(&t, 0);
	assert_true(t.machine.line.level);
	unmake(&t);
}

static void test_table_inside_a_bar_of_the_device(void **state _unused_)
{
	static struct msix_test t;

	make(&t, true);
	fake_mmio_write(&t.machine, BAR_ADDR + 0x10, 7, 4);
	assert_int_equal(t.beside, 7);
	assert_int_equal(fake_mmio_read(&t.machine, BAR_ADDR + 0x10, 4), 0x17);
	program(&t, 0, 0xfee00000, 0x30);
	assert_int_equal(t.beside, 7);
	control(&t, SPEC_ENABLE);
	mask(&t, 0, false);
	pci_msix_fire(t.dev, 0);
	assert_int_equal(t.msi[0]->fired, 1);
	/* Behind the last entry the BAR is the device's again. */
	fake_mmio_write(&t.machine, t.table + VECTORS * SPEC_ENTRY, 9, 4);
	assert_int_equal(t.beside, 9);
	unmake(&t);
}

static int wrap_save(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	pci_device_save(obj, w);
	return 0;
}

static int wrap_load(void *obj, uint32_t version _unused_, struct state_reader *r,
		     enum state_mode mode, struct error *err)
{
	return pci_device_load(obj, r, mode, err);
}

static const struct state_ops wrap_ops = {
	.name = "wrap", .version = 1, .min_version = 1, .save = wrap_save, .load = wrap_load};

static void test_state(void **state _unused_)
{
	static struct msix_test from, to;
	uint64_t one = 1;

	make(&from, false);
	make(&to, false);
	program(&from, 7, 0xfee02000, 0x77);
	mask(&from, 7, false);
	control(&from, SPEC_ENABLE);
	pci_msix_fire(from.dev, 8);
	assert_int_equal(write(pci_msix_eventfd(from.dev, 9, NULL), &one, 8), 8);
	assert_round_trip(&wrap_ops, from.dev, to.dev);
	assert_false(to.msi[7]->masked);
	assert_int_equal(to.msi[7]->data, 0x77);
	assert_true(pending(&to, 8) && pending(&to, 9));
	assert_int_equal(to.msi[7]->fired, 0);
	pci_device_resumed(to.dev); /* what the gap may have swallowed */
	assert_int_equal(to.msi[7]->fired, 1);
	assert_int_equal(to.msi[8]->fired, 0);
	mask(&to, 9, false);
	assert_int_equal(to.msi[9]->fired, 1);
	unmake(&from);
	unmake(&to);
}

#define ROUNDS 20000

static void *fire_many(void *opaque)
{
	struct msix_test *t = opaque;

	for (unsigned int i = 0; i < ROUNDS; i++)
		pci_msix_fire(t->dev, 3);
	return NULL;
}

/* A vector that fires while it is masked and unmasked: never while masked (the fake aborts), and
 * the last one comes through. */
/* A bit is pending only in a vector that is masked while MSI-X is on (6.8.3.5): a state with any
 * other would be refused. Neither the kernel's signallers nor a kernel that refuses keep to it. */
static void test_state_has_no_impossible_bits(void **state _unused_)
{
	static struct msix_test from, to;
	uint64_t one = 1;

	make(&from, false);
	make(&to, false);
	control(&from, SPEC_ENABLE);
	assert_int_equal(write(pci_msix_eventfd(from.dev, 5, NULL), &one, 8), 8);
	assert_true(pending(&from, 5));
	control(&from, 0);
	assert_round_trip(&wrap_ops, from.dev, to.dev);
	/* One that was refused fires after the resume, as every other. */
	control(&from, SPEC_ENABLE);
	from.machine.refuse_msi = true;
	mask(&from, 1, false);
	assert_true(pci_msix_fire(from.dev, 1));
	assert_round_trip(&wrap_ops, from.dev, to.dev);
	assert_int_equal(to.msi[1]->fired, 0);
	pci_device_resumed(to.dev);
	assert_int_equal(to.msi[1]->fired, 1);
	unmake(&from);
	unmake(&to);
}

static void test_mask_against_fire(void **state _unused_)
{
	static struct msix_test t;
	pthread_t thread;

	make(&t, false);
	control(&t, SPEC_ENABLE);
	mask(&t, 3, false);
	assert_int_equal(pthread_create(&thread, NULL, fire_many, &t), 0);
	for (unsigned int i = 0; i < ROUNDS / 4; i++) {
		mask(&t, 3, true);
		/* One look: the other thread may fire between two. */
		fake_mmio_read(&t.machine, t.pba, 8);
		mask(&t, 3, false);
		control(&t, SPEC_ENABLE | SPEC_FUNCTION_MASK);
		control(&t, SPEC_ENABLE);
	}
	pthread_join(thread, NULL);
	assert_false(pending(&t, 3));
	assert_true(t.msi[3]->fired > 0);
	unmake(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_fire_and_masks),
		cmocka_unit_test(test_kernel_signaller),
		cmocka_unit_test(test_refused_vector_stays_pending),
		cmocka_unit_test(test_intx_is_off_with_msix),
		cmocka_unit_test(test_table_inside_a_bar_of_the_device),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_state_has_no_impossible_bits),
		cmocka_unit_test(test_mask_against_fire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
