/* SPDX-License-Identifier: Apache-2.0 */
/* devices/pci: the host bridge: both ways to configuration space, slots, state. */
#include "tests/unit/pci_test.h"

struct host_test {
	struct pci_test function;
	struct pci_host *host;
	uint8_t reset; /* the register at port 0xcf9 */
};

static uint64_t reset_read(void *opaque, uint64_t offset, unsigned int size)
{
	assert_int_equal(offset, 0);
	assert_int_equal(size, 1);
	return *(uint8_t *)opaque;
}

static void reset_write(void *opaque, uint64_t offset, uint64_t value, unsigned int size)
{
	assert_int_equal(offset, 0);
	assert_int_equal(size, 1);
	*(uint8_t *)opaque = (uint8_t)value;
}

static const struct io_ops reset_ops = {.name = "reset", .read = reset_read, .write = reset_write};

static void make_host(struct host_test *t)
{
	const struct pci_host_params params = {&reset_ops, &t->reset};

	make(&t->function);
	t->reset = 0;
	assert_int_equal(pci_host_new(&params, &t->host, NULL), 0);
	assert_int_equal(pci_host_add(t->host, 3, t->function.dev, NULL), 0);
}

static void unmake_host(struct host_test *t)
{
	pci_host_remove(t->host, 3);
	pci_host_free(t->host);
	unmake(&t->function);
}

static uint32_t port_config(struct pci_host *host, uint32_t address, unsigned int byte,
			    unsigned int size)
{
	pci_host_port_io_ops.write(host, 0, address, 4);
	return (uint32_t)pci_host_port_io_ops.read(host, 4 + byte, size);
}

static void test_mechanism_1(void **state _unused_)
{
	static struct host_test t;
	uint32_t slot3 = SPEC_CONFIG_ADDRESS | 3U << 11;

	make_host(&t);
	assert_int_equal(port_config(t.host, slot3, 0, 4), 0x10421af4);
	assert_int_equal(port_config(t.host, slot3, 2, 2), 0x1042);
	assert_int_equal(port_config(t.host, slot3 | 8, 3, 1), 0x01);
	assert_int_equal(pci_host_port_io_ops.read(t.host, 0, 4), slot3 | 8);
	pci_host_port_io_ops.write(t.host, 0, slot3 | SPEC_INT_LINE, 4);
	pci_host_port_io_ops.write(t.host, 4, 0x55, 1);
	assert_int_equal(pci_config_read(t.function.dev, SPEC_INT_LINE, 1), 0x55);
	/* The bridge, an empty slot, another function, another bus, not enabled. */
	assert_int_equal(port_config(t.host, SPEC_CONFIG_ADDRESS | 8, 2, 2), 0x0600);
	assert_int_equal(port_config(t.host, SPEC_CONFIG_ADDRESS | 4U << 11, 0, 4), UINT32_MAX);
	assert_int_equal(port_config(t.host, slot3 | 1U << 8, 0, 4), UINT32_MAX);
	assert_int_equal(port_config(t.host, slot3 | 1U << 16, 0, 2), 0xffff);
	assert_int_equal(port_config(t.host, slot3 & ~SPEC_CONFIG_ADDRESS, 0, 4), UINT32_MAX);
	/* Reserved bits do not stick; a byte is not CONFIG_ADDRESS. */
	pci_host_port_io_ops.write(t.host, 0, UINT32_MAX, 4);
	assert_int_equal(pci_host_port_io_ops.read(t.host, 0, 4), 0x80fffffc);
	pci_host_port_io_ops.write(t.host, 1, 6, 1);
	assert_int_equal(t.reset, 6);
	assert_int_equal(pci_host_port_io_ops.read(t.host, 1, 1), 6);
	assert_int_equal(pci_host_port_io_ops.read(t.host, 0, 4), 0x80fffffc);
	assert_int_equal(pci_host_port_io_ops.read(t.host, 6, 4), UINT32_MAX);
	unmake_host(&t);
}

static void test_ecam(void **state _unused_)
{
	static struct host_test t;
	const uint64_t slot3 = 3ULL << 15;

	make_host(&t);
	assert_int_equal(pci_host_ecam_io_ops.read(t.host, slot3, 4), 0x10421af4);
	assert_true(pci_host_ecam_io_ops.read(t.host, slot3, 8) >> 32 == SPEC_STS_CAP_LIST << 16);
	pci_host_ecam_io_ops.write(t.host, slot3 + SPEC_INT_LINE, 0x66, 1);
	assert_int_equal(pci_config_read(t.function.dev, SPEC_INT_LINE, 1), 0x66);
	assert_int_equal(pci_host_ecam_io_ops.read(t.host, slot3 | 1 << 12, 4), UINT32_MAX);
	assert_int_equal(pci_host_ecam_io_ops.read(t.host, 1 << 20, 2), 0xffff);
	assert_int_equal(pci_host_ecam_io_ops.read(t.host, slot3 + 0x100, 4), 0);
	unmake_host(&t);
}

static void test_slots(void **state _unused_)
{
	static struct host_test t;
	struct error err = ERROR_INIT;

	make_host(&t);
	assert_int_equal(pci_host_add(t.host, 3, t.function.dev, &err), -EBUSY);
	assert_non_null(strstr(err.message, "slot 3"));
	assert_int_equal(pci_host_add(t.host, 0, t.function.dev, &err), -EINVAL);
	assert_int_equal(pci_host_add(t.host, 32, t.function.dev, &err), -EINVAL);
	for (int slot = 1; slot < 32; slot++) {
		int got = slot == 3 ? 3 : pci_host_free_slot(t.host, &err);

		assert_int_equal(got, slot);
		if (slot != 3)
			assert_int_equal(
				pci_host_add(t.host, (unsigned int)slot, t.function.dev, NULL), 0);
	}
	assert_int_equal(pci_host_free_slot(t.host, &err), -ENOSPC);
	for (unsigned int slot = 1; slot < 32; slot++)
		pci_host_remove(t.host, slot);
	assert_null(pci_host_slot(t.host, 3));
	pci_host_free(t.host);
	unmake(&t.function);
}

static void test_host_state(void **state _unused_)
{
	static struct host_test t;
	struct pci_host *other;
	const struct pci_host_params params = {0};

	make_host(&t);
	assert_int_equal(pci_host_new(&params, &other, NULL), 0);
	pci_host_port_io_ops.write(t.host, 0, 0x80001804, 4);
	assert_round_trip(&pci_host_state_ops, t.host, other);
	assert_int_equal(pci_host_port_io_ops.read(other, 0, 4), 0x80001804);
	pci_host_free(other);
	unmake_host(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mechanism_1),
		cmocka_unit_test(test_ecam),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_host_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
