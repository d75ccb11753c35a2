/* SPDX-License-Identifier: Apache-2.0 */
/* devices/pci: configuration space, BARs, INTA, placing, state. */
#include "tests/unit/pci_test.h"

static void test_header(void **state _unused_)
{
	static struct pci_test t;

	make(&t);
	assert_int_equal(pci_config_read(t.dev, SPEC_VENDOR_ID, 4), 0x10421af4);
	assert_int_equal(pci_config_read(t.dev, SPEC_REVISION, 4), 0x01020307);
	assert_int_equal(pci_config_read(t.dev, SPEC_HEADER_TYPE, 1), 0);
	assert_int_equal(pci_config_read(t.dev, SPEC_SUBSYS_VENDOR, 2), 0x1234);
	assert_int_equal(pci_config_read(t.dev, SPEC_SUBSYS_ID, 2), 0x5678);
	assert_int_equal(pci_config_read(t.dev, SPEC_INT_PIN, 1), 1);
	/* What software may not change. */
	for (unsigned int offset = 0; offset < 0x100; offset += 4)
		pci_config_write(t.dev, offset, 0, 4);
	assert_int_equal(pci_config_read(t.dev, SPEC_VENDOR_ID, 4), 0x10421af4);
	assert_int_equal(pci_config_read(t.dev, SPEC_SUBSYS_ID, 2), 0x5678);
	for (unsigned int offset = 0; offset < 0x100; offset += 4)
		pci_config_write(t.dev, offset, UINT32_MAX, 4);
	assert_int_equal(pci_config_read(t.dev, SPEC_VENDOR_ID, 4), 0x10421af4);
	assert_int_equal(pci_config_read(t.dev, SPEC_ROM, 4), 0);
	/* And what it may. */
	assert_int_equal(pci_config_read(t.dev, SPEC_CACHE_LINE, 1), 0xff);
	assert_int_equal(pci_config_read(t.dev, SPEC_INT_LINE, 1), 0xff);
	/* No extended capabilities, and no such accesses. */
	assert_int_equal(pci_config_read(t.dev, 0x100, 4), 0);
	assert_int_equal(pci_config_read(t.dev, 1, 2), UINT32_MAX);
	assert_int_equal(pci_config_read(t.dev, 0, 3), UINT32_MAX);
	assert_int_equal(pci_config_read(t.dev, 4096, 4), UINT32_MAX);
	pci_config_write(t.dev, 4096, 0, 4);
	pci_config_write(t.dev, 0xffc, 0, 4);
	unmake(&t);
}

static void test_bar_sizing(void **state _unused_)
{
	static struct pci_test t;

	make(&t);
	for (unsigned int i = 0; i < 6; i++)
		pci_config_write(t.dev, SPEC_BAR0 + 4 * i, UINT32_MAX, 4);
	assert_int_equal(pci_config_read(t.dev, SPEC_BAR0, 4), 0xffffc000);
	assert_int_equal(pci_config_read(t.dev, SPEC_BAR0 + 4, 4), 0xffffffe0 | SPEC_BAR_IO);
	assert_int_equal(pci_config_read(t.dev, SPEC_BAR0 + 8, 4), 0xfffff000); /* MSI-X */
	assert_int_equal(pci_config_read(t.dev, SPEC_BAR0 + 12, 4), 0);
	assert_int_equal(pci_config_read(t.dev, SPEC_BAR0 + 16, 4),
			 SPEC_BAR_64 | SPEC_BAR_PREFETCH);
	assert_int_equal(pci_config_read(t.dev, SPEC_BAR0 + 20, 4), 0xfffffffe);
	/* Careless: decoding on while the BARs hold the answer of the sizing. */
	pci_config_write(t.dev, SPEC_COMMAND, SPEC_CMD_MEMORY | SPEC_CMD_IO, 2);
	assert_int_equal(t.machine.bar_count, 0);
	unmake(&t);
}

static void place_bars(struct pci_test *t)
{
	pci_config_write(t->dev, SPEC_BAR0, MEM32_ADDR, 4);
	pci_config_write(t->dev, SPEC_BAR0 + 4, IO_ADDR, 4);
	pci_config_write(t->dev, SPEC_BAR0 + 16, (uint32_t)MEM64_ADDR, 4);
	pci_config_write(t->dev, SPEC_BAR0 + 20, MEM64_ADDR >> 32, 4);
}

static void test_bars_decode_and_move(void **state _unused_)
{
	static struct pci_test t;

	make(&t);
	place_bars(&t);
	assert_int_equal(t.machine.bar_count, 0);
	pci_config_write(t.dev, SPEC_COMMAND, SPEC_CMD_MEMORY, 2);
	assert_int_equal(t.machine.bar_count, 2); /* the MSI-X BAR is nowhere yet */
	assert_int_equal(t.moved, MEM32_ADDR);
	assert_int_equal(t.command, SPEC_CMD_MEMORY);
	fake_mmio_write(&t.machine, MEM32_ADDR, 42, 4);
	fake_mmio_write(&t.machine, MEM64_ADDR, 43, 4);
	assert_int_equal(t.registers[0], 42);
	assert_int_equal(t.registers[2], 43);
	assert_true(fake_mmio_read(&t.machine, IO_ADDR, 4) == UINT64_MAX);
	pci_config_write(t.dev, SPEC_COMMAND, SPEC_CMD_MEMORY | SPEC_CMD_IO, 2);
	fake_mmio_write(&t.machine, IO_ADDR, 44, 4);
	assert_int_equal(t.registers[1], 44);

	pci_config_write(t.dev, SPEC_BAR0, MEM32_ADDR + 0x10000, 4);
	assert_int_equal(t.moved, MEM32_ADDR + 0x10000);
	assert_true(fake_mmio_read(&t.machine, MEM32_ADDR, 4) == UINT64_MAX);
	assert_int_equal(fake_mmio_read(&t.machine, MEM32_ADDR + 0x10000, 4), 42);
	assert_int_equal(pci_bar_address(t.dev, 0), MEM32_ADDR + 0x10000);
	/* A byte at a time, and below the size: ignored bits. */
	pci_config_write(t.dev, SPEC_BAR0 + 1, 0x3f, 1);
	assert_int_equal(t.moved, MEM32_ADDR + 0x10000);

	pci_config_write(t.dev, SPEC_COMMAND, 0, 2);
	assert_int_equal(t.machine.bar_count, 0);
	assert_int_equal(t.moved, 0);
	unmake(&t);
}

static void test_bar_where_nothing_may_be(void **state _unused_)
{
	static struct pci_test t;

	make(&t);
	place_bars(&t);
	t.machine.refuse_map = true;
	pci_config_write(t.dev, SPEC_COMMAND, SPEC_CMD_MEMORY, 2);
	assert_int_equal(t.machine.bar_count, 0);
	assert_int_equal(pci_bar_address(t.dev, 0), 0);
	t.machine.refuse_map = false;
	pci_config_write(t.dev, SPEC_BAR0, MEM32_ADDR + 0x4000, 4);
	assert_int_equal(pci_bar_address(t.dev, 0), MEM32_ADDR + 0x4000);
	unmake(&t);
}

static void test_intx(void **state _unused_)
{
	static struct pci_test t;

	make(&t);
	pci_intx_set(t.dev, true);
	assert_true(t.machine.line.level);
	assert_int_equal(pci_config_read(t.dev, SPEC_STATUS, 2),
			 SPEC_STS_INTERRUPT | SPEC_STS_CAP_LIST);
	/* Disable: the pin goes low, the status does not. */
	pci_config_write(t.dev, SPEC_COMMAND, SPEC_CMD_NO_INTX, 2);
	assert_false(t.machine.line.level);
	assert_true(pci_config_read(t.dev, SPEC_STATUS, 2) & SPEC_STS_INTERRUPT);
	pci_config_write(t.dev, SPEC_COMMAND, 0, 2);
	assert_true(t.machine.line.level);
	pci_intx_set(t.dev, false);
	assert_false(t.machine.line.level);
	assert_int_equal(pci_config_read(t.dev, SPEC_STATUS, 2), SPEC_STS_CAP_LIST);
	pci_intx_set(t.dev, true);
	unmake(&t); /* lets the line go */
}

static void test_bus_master(void **state _unused_)
{
	static struct pci_test t;

	make(&t);
	assert_false(pci_bus_master(t.dev));
	pci_config_write(t.dev, SPEC_COMMAND, SPEC_CMD_MASTER, 1);
	assert_true(pci_bus_master(t.dev));
	unmake(&t);
}

static void test_capabilities(void **state _unused_)
{
	static struct pci_test t;
	const uint8_t data[6] = {8, 1, 2, 3, 4, 5}, mask[6] = {0, 0, 0xff, 0, 0x0f, 0};
	uint8_t big[256] = {0};
	unsigned int at, seen = 0, msix;
	int first, second;

	make(&t);
	first = pci_add_capability(t.dev, SPEC_CAP_VENDOR, data, sizeof(data), mask, NULL);
	second = pci_add_capability(t.dev, SPEC_CAP_VENDOR, data, 1, NULL, NULL);
	assert_true(first > 0 && second > first);
	assert_int_equal(pci_add_capability(t.dev, 9, big, 200, NULL, NULL), -ENOSPC);
	assert_true(pci_config_read(t.dev, SPEC_STATUS, 2) & SPEC_STS_CAP_LIST);
	msix = pci_config_read(t.dev, SPEC_CAP_POINTER, 1);
	for (at = msix; at; at = pci_config_read(t.dev, at + 1, 1)) {
		assert_true(at >= 0x40 && at % 4 == 0 && seen++ < 3);
	}
	assert_int_equal(seen, 3);
	assert_int_equal(pci_config_read(t.dev, (unsigned int)first, 1), SPEC_CAP_VENDOR);
	pci_config_write(t.dev, (unsigned int)first, 0, 4);
	pci_config_write(t.dev, (unsigned int)first + 4, UINT32_MAX, 4);
	assert_int_equal(pci_config_read(t.dev, (unsigned int)first, 4),
			 0x01080009U | (unsigned int)second << 8);
	assert_int_equal(pci_config_read(t.dev, (unsigned int)first + 4, 4), 0x050f03ff);
	unmake(&t);
}

static uint32_t hook_read(void *opaque, unsigned int offset, unsigned int size)
{
	assert_ptr_equal(opaque, &bar_ops);
	return offset << 8 | size;
}

static void hook_write(void *opaque _unused_, unsigned int offset, uint32_t value,
		       unsigned int size)
{
	assert_int_equal(offset, 0x80);
	assert_int_equal(value, 5);
	assert_int_equal(size, 2);
}

static void test_config_hook(void **state _unused_)
{
	static struct pci_test t;
	const struct pci_config_hook hook = {
		0x82, 4, hook_read, hook_write, (void *)(uintptr_t)&bar_ops, NULL};

	make(&t);
	pci_set_config_hook(t.dev, &hook);
	assert_int_equal(pci_config_read(t.dev, 0x80, 4), 0x8004);
	assert_int_equal(pci_config_read(t.dev, 0x84, 1), 0x8401);
	assert_int_equal(pci_config_read(t.dev, 0x80, 2), 0);
	assert_int_equal(pci_config_read(t.dev, 0x86, 1), 0);
	pci_config_write(t.dev, 0x80, 5, 2); /* beside it: comes nowhere */
	unmake(&t);
}

static void test_bad_params_are_refused(void **state _unused_)
{
	static struct pci_test t;
	struct pci_params p;
	struct error err = ERROR_INIT;

	memset(&t, 0, sizeof(t));
	fake_machine_init(&t.machine);
	p = params_of(&t);
	p.bars[0].size = 0x3000;
	assert_int_equal(pci_device_new(&p, &t.machine.attach, &t.dev, &err), -EINVAL);
	assert_non_null(strstr(err.message, "BAR 0"));
	p = params_of(&t);
	p.bars[5].kind = PCI_BAR_MEM32;
	p.bars[5].size = 4096;
	assert_int_equal(pci_device_new(&p, &t.machine.attach, &t.dev, &err), -EINVAL);
	p = params_of(&t);
	p.msix_vectors = PCI_VECTORS_MAX + 1;
	assert_int_equal(pci_device_new(&p, &t.machine.attach, &t.dev, &err), -EINVAL);
	p = params_of(&t);
	p.msix_bar = 0;
	p.msix_table_offset = 0x1000;
	p.msix_pba_offset = 0x1020; /* inside the table */
	assert_int_equal(pci_device_new(&p, &t.machine.attach, &t.dev, &err), -EINVAL);
	p = params_of(&t);
	t.machine.refuse_msi = true;
	assert_int_equal(pci_device_new(&p, &t.machine.attach, &t.dev, &err), -ENOSPC);
	fake_machine_check_empty(&t.machine);
}

static void test_placing(void **state _unused_)
{
	static struct pci_test t;
	struct pci_windows w = {.io = {IO_ADDR, 0x10000},
				.mem32 = {MEM32_ADDR, MEM32_ADDR + 0x6000},
				.mem64 = {MEM64_ADDR, MEM64_ADDR + (1ULL << 34)}};
	struct pci_windows before;
	struct error err = ERROR_INIT;

	make(&t);
	assert_int_equal(pci_place_bars(t.dev, &w, &err), 0);
	assert_int_equal(pci_config_read(t.dev, SPEC_BAR0, 4), MEM32_ADDR);
	assert_int_equal(pci_config_read(t.dev, SPEC_BAR0 + 4, 4), IO_ADDR | SPEC_BAR_IO);
	assert_int_equal(pci_config_read(t.dev, SPEC_BAR0 + 8, 4), MEM32_ADDR + 0x4000);
	assert_int_equal(pci_config_read(t.dev, SPEC_BAR0 + 16, 4),
			 SPEC_BAR_64 | SPEC_BAR_PREFETCH);
	assert_int_equal(pci_config_read(t.dev, SPEC_BAR0 + 20, 4), MEM64_ADDR >> 32);
	before = w;
	assert_int_equal(pci_place_bars(t.dev, &w, &err), -ENOSPC);
	assert_non_null(strstr(err.message, "BAR 0"));
	assert_memory_equal(&before, &w, sizeof(w));
	unmake(&t);
}

/* ---- State. ---- */

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
	static struct pci_test from, to;

	make(&from);
	make(&to);
	assert_round_trip(&wrap_ops, from.dev, to.dev);
	place_bars(&from);
	pci_config_write(from.dev, SPEC_BAR0 + 8, MEM32_ADDR + 0x8000, 4);
	pci_config_write(from.dev, SPEC_COMMAND, SPEC_CMD_MEMORY | SPEC_CMD_IO | SPEC_CMD_MASTER,
			 2);
	pci_config_write(from.dev, SPEC_INT_LINE, 11, 1);
	pci_intx_set(from.dev, true);
	assert_round_trip(&wrap_ops, from.dev, to.dev);
	assert_int_equal(to.machine.bar_count, 4);
	assert_int_equal(to.moved, MEM32_ADDR);
	assert_true(to.machine.line.level);
	assert_true(pci_bus_master(to.dev));
	/* Back to a state without any of it. */
	pci_config_write(from.dev, SPEC_COMMAND, 0, 2);
	pci_intx_set(from.dev, false);
	assert_round_trip(&wrap_ops, from.dev, to.dev);
	assert_int_equal(to.machine.bar_count, 0);
	assert_false(to.machine.line.level);
	unmake(&from);
	unmake(&to);
}

static void test_another_device_is_refused(void **state _unused_)
{
	static struct pci_test from, to;
	struct pci_params p;
	struct saved s;
	struct error err = ERROR_INIT;

	make(&from);
	s = device_save(&wrap_ops, from.dev);
	memset(&to, 0, sizeof(to));
	fake_machine_init(&to.machine);
	p = params_of(&to);
	p.device_id = 0x1041;
	assert_int_equal(pci_device_new(&p, &to.machine.attach, &to.dev, NULL), 0);
	assert_int_equal(device_load(&wrap_ops, to.dev, &s, STATE_APPLY, &err), -EINVAL);
	assert_non_null(strstr(err.message, "byte 0x2 is 0x42"));
	saved_free(&s);
	unmake(&from);
	unmake(&to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_bar_sizing),
		cmocka_unit_test(test_bars_decode_and_move),
		cmocka_unit_test(test_bar_where_nothing_may_be),
		cmocka_unit_test(test_intx),
		cmocka_unit_test(test_bus_master),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_config_hook),
		cmocka_unit_test(test_bad_params_are_refused),
		cmocka_unit_test(test_placing),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_another_device_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
