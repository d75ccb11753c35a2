/* SPDX-License-Identifier: Apache-2.0 */
/* Finding roots in memory: at chunk borders, twice, with and without setup data, and none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/abi/scan.h"
#include "tests/abi/fixture.h"

#define SIZE (4U << 20)

static uint8_t *memory_with_root_at(const size_t *places, size_t count)
{
	_cleanup_kho_ struct abi_kho *model = fixture_model(4, 5, 2);
	uint8_t *memory = aligned_alloc(4096, SIZE);
	struct fixture f;

	assert_non_null(memory);
	memset(memory, 0x5a, SIZE);
	fixture_open(&f, model, FIXTURE_CAPACITY);
	for (size_t i = 0; i < count; i++)
		memcpy(memory + places[i], fixture_at(&f, f.fdt_pa), 4096);
	fixture_close(&f);
	return memory;
}

static void put_setup_data(uint8_t *at, uint64_t fdt_pa)
{
	/* setup_data {next, type, len}, then kho_data {fdt_addr, fdt_size, scratch_addr, _size} */
	const uint64_t words[] = {0, 10 | UINT64_C(32) << 32, fdt_pa, 4096, 0x77000, 48};

	memcpy(at, words, sizeof(words));
}

static void test_borders(void **state _unused_)
{
	/* The first page, the last of a chunk, the one that two chunks share, and the last. */
	static const size_t places[] = {0, 0xfe000, 0xff000, 0x100000, 0x1fe000, SIZE - 4096};
	_cleanup_free_ uint8_t *memory = memory_with_root_at(places, ARRAY_SIZE(places));
	_cleanup_physmem_ struct physmem *mem = NULL;
	struct error err = ERROR_INIT;
	struct abi_scan scan;

	assert_int_equal(physmem_open_buffer(0x200000, memory, SIZE, &mem, &err), 0);
	assert_int_equal(abi_scan(mem, UINT64_MAX, NULL, NULL, &scan, &err), 0);
	assert_true(scan.complete);
	assert_int_equal(scan.root_count, ARRAY_SIZE(places));
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		assert_int_equal(scan.roots[i].fdt_pa, 0x200000 + places[i]);
		assert_false(scan.roots[i].handed_over);
	}
}

static void test_setup_data(void **state _unused_)
{
	static const size_t places[] = {0x3000, 0x200000};
	_cleanup_free_ uint8_t *memory = memory_with_root_at(places, ARRAY_SIZE(places));
	_cleanup_physmem_ struct physmem *mem = NULL;
	struct error err = ERROR_INIT;
	struct abi_scan scan;

	/* Across a chunk border, behind its root; and one that names nothing. */
	put_setup_data(memory + 0xfeff0 + 0x1000 - 16, 0x203000);
	put_setup_data(memory + 0x300008, 0x999000);
	assert_int_equal(physmem_open_buffer(0x200000, memory, SIZE, &mem, &err), 0);
	assert_int_equal(abi_scan(mem, UINT64_MAX, NULL, NULL, &scan, &err), 0);
	assert_int_equal(scan.root_count, 2);
	assert_true(scan.roots[0].handed_over);
	assert_int_equal(scan.roots[0].scratch_pa, 0x77000);
	assert_int_equal(scan.roots[0].scratch_size, 48);
	assert_false(scan.roots[1].handed_over);
}

static bool stop_at(void *opaque, const struct abi_root_place *place)
{
	return place->fdt_pa == *(uint64_t *)opaque;
}

static void test_limits(void **state _unused_)
{
	static const size_t places[] = {0x3000, 0x200000};
	_cleanup_free_ uint8_t *memory = memory_with_root_at(places, ARRAY_SIZE(places));
	_cleanup_physmem_ struct physmem *mem = NULL;
	uint64_t wanted = 0x203000;
	struct error err = ERROR_INIT;
	struct abi_scan scan;

	assert_int_equal(physmem_open_buffer(0x200000, memory, SIZE, &mem, &err), 0);
	assert_int_equal(abi_scan(mem, 1 << 20, NULL, NULL, &scan, &err), 0);
	assert_int_equal(scan.root_count, 1);
	assert_false(scan.complete);
	assert_int_equal(abi_scan(mem, UINT64_MAX, stop_at, &wanted, &scan, &err), 0);
	assert_int_equal(scan.root_count, 1);
	assert_false(scan.complete);
	memset(memory, 0, SIZE);
	assert_int_equal(abi_scan(mem, UINT64_MAX, NULL, NULL, &scan, &err), 0);
	assert_int_equal(scan.root_count, 0);
	assert_true(scan.complete);
}

/* A reader that shows no read with a page of `holes` in it, as /dev/mem does. */
struct holes {
	const uint8_t *data;
	uint64_t base;
	size_t holes[3], count;
	int code;
};

static int read_with_holes(void *ctx, uint64_t pa, void *buf, size_t len, struct error *err)
{
	const struct holes *h = ctx;
	size_t at = pa - h->base;

	for (size_t i = 0; i < h->count; i++)
		if (h->holes[i] < at + len && at < h->holes[i] + 4096)
			return error_set(err, h->code, "no page at 0x%zx", h->holes[i]);
	memcpy(buf, h->data + at, len);
	return 0;
}

static void test_unreadable(void **state _unused_)
{
	static const size_t places[] = {0x3000, 0x200000, 0x300000};
	static const struct physmem_ops ops = {.read = read_with_holes};
	_cleanup_free_ uint8_t *memory = memory_with_root_at(places, ARRAY_SIZE(places));
	_cleanup_physmem_ struct physmem *mem = NULL;
	/* One beside a root, one that two chunks share, one that is itself a root. */
	struct holes h = {.data = memory,
			  .base = 0x200000,
			  .holes = {0x4000, 0xff000, 0x300000},
			  .count = 3,
			  .code = -EFAULT};
	const struct physmem_range range = {h.base, SIZE};
	struct error err = ERROR_INIT;
	struct abi_scan scan;

	assert_int_equal(physmem_new(&ops, &h, "holes", &range, 1, &mem, &err), 0);
	assert_int_equal(abi_scan(mem, UINT64_MAX, NULL, NULL, &scan, &err), 0);
	assert_int_equal(err.code, 0);
	assert_true(scan.complete);
	assert_int_equal(scan.unreadable, 3 * 4096);
	assert_int_equal(scan.root_count, 2);
	assert_int_equal(scan.roots[0].fdt_pa, 0x203000);
	assert_int_equal(scan.roots[1].fdt_pa, 0x400000);
	/* What is refused for another reason ends the search. */
	h.code = -EPERM;
	assert_int_equal(abi_scan(mem, UINT64_MAX, NULL, NULL, &scan, &err), -EPERM);
	assert_string_equal(error_message(&err), "no page at 0x4000");
	assert_false(scan.complete);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_borders),
		cmocka_unit_test(test_setup_data),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_unreadable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
