/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that can be wrong with a preserved memfd and its vmalloc area. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "tests/abi/poke.h"

#define FILE1 "session 1 \"vm:web1\", file 1, memfd-v2, "
#define FILE2 "session 1 \"vm:web1\", file 2, memfd-v2, "

static void test_header(void **state _unused_)
{
	static const struct poke pokes[] = {
		{V5_MEMFD1, UINT64_C(1) << 63, 8, -EOVERFLOW,
		 FILE1 "size or pos: more than a file can have"},
		{V5_MEMFD1 + 8, UINT64_MAX, 8, -EOVERFLOW,
		 FILE1 "size or pos: more than a file can have"},
		{V5_MEMFD1 + 8, 4096, 8, -EOVERFLOW, FILE1 "nr_folios: 2 in a file of 1 pages"},
		{V5_MEMFD1 + 16, 0x46, 4, -EBADMSG,
		 FILE1 "seals: 0x46 has some that are not known"},
		{V5_MEMFD1 + 20, 1, 4, -EBADMSG, FILE1 "flags: 0x1 is not known"},
		{V5_MEMFD1 + 24, 3, 8, -EOVERFLOW, FILE1 "nr_folios: 3 in a file of 2 pages"},
	};

	poke_all(pokes, ARRAY_SIZE(pokes), 4, 5, 2);
}

static void test_more_folios_than_memory(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *kho = fixture_model(4, 5, 2);
	uint64_t value = UINT64_C(1) << 40;
	struct fixture f;

	fixture_open(&f, kho, FIXTURE_CAPACITY);
	memcpy(fixture_at(&f, V5_MEMFD1 + 24), &value, 8);
	value <<= 12;
	memcpy(fixture_at(&f, V5_MEMFD1 + 8), &value, 8);
	poke_expect(&f, -EOVERFLOW,
		    FILE1 "nr_folios: 1099511627776 is more than the memory has pages");
	fixture_close(&f);
}

static void test_vmalloc(void **state _unused_)
{
	static const struct poke pokes[] = {
		{V5_MEMFD1 + 32, 0, 8, -EOVERFLOW,
		 FILE1 "folios, 0 pages listed where total_pages is 1"},
		{V5_MEMFD1 + 32, OUTSIDE, 8, -EFAULT,
		 FILE1 "folios, chunk 1: address 0x7000000000 (4096 bytes) is outside the memory"},
		{V5_MEMFD1 + 32, V5_FILES1, 8, -EEXIST,
		 FILE1 "folios, chunk 1: address 0x104000 is used by another structure already"},
		{V5_MEMFD1 + 40, UINT32_MAX, 4, -EOVERFLOW,
		 FILE1 "folios, total_pages: 4294967295 is more than the memory has (262176)"},
		{V5_MEMFD1 + 40, 0, 4, -EOVERFLOW,
		 FILE1 "folios, total_pages: 0 cannot hold 32 bytes"},
		{V5_MEMFD1 + 40, 2, 4, -EOVERFLOW,
		 FILE1 "folios, 1 pages listed where total_pages is 2"},
		{V5_MEMFD1 + 44, 4, 2, -EBADMSG, FILE1 "folios, flags: 0x4 is not known"},
		{V5_MEMFD1 + 46, 1, 2, -EOVERFLOW,
		 FILE1 "folios, total_pages: 1 is no multiple of 2^1 pages"},
		{V5_MEMFD1 + 46, 19, 2, -EOVERFLOW, FILE1 "folios, order: 19"},
		{V5_CHUNK1, V5_CHUNK1, 8, -ELOOP,
		 FILE1 "folios, chunk 2: comes back to 0x106000: a cycle"},
		{V5_CHUNK1 + 8, OUTSIDE, 8, -EFAULT,
		 FILE1 "folios, chunk 1: page 1: address 0x7000000000 (4096 bytes) is outside the "
		       "memory"},
		{V5_CHUNK1 + 8, V5_FOLIOS1 + 16, 8, -EINVAL,
		 FILE1 "folios, chunk 1: page 1: address 0x107010 is not page-aligned"},
		{V5_CHUNK1 + 8, V5_FILES1, 8, -EEXIST,
		 FILE1 "folios: address 0x104000 is used by another structure already"},
		{V5_CHUNK1 + 16, V5_FOLIOS1, 8, -EOVERFLOW,
		 FILE1 "folios, chunk 1: more than the 1 pages of total_pages"},
	};

	poke_all(pokes, ARRAY_SIZE(pokes), 4, 5, 2);
}

static void test_folios(void **state _unused_)
{
	static const struct poke pokes[] = {
		{V5_FOLIOS1, UINT64_C(3) << 52 | OUTSIDE >> 12, 8, -EFAULT,
		 FILE1 "folio 1: address 0x7000000000 is outside the memory"},
		{V5_FOLIOS1, UINT64_C(4) << 52 | 0x40005, 8, -EBADMSG,
		 FILE1 "folio 1, flags: 0x4 is not known"},
		{V5_FOLIOS1 + 8, 2, 8, -EOVERFLOW,
		 FILE1 "folio 1, index: 2 lies behind the file's 2 pages"},
		{V5_FOLIOS1 + 24, 0, 8, -EEXIST, FILE1 "folio 2, index: 0 after 0"},
		{V5_FOLIOS2 + 24, 100, 8, -EEXIST,
		 FILE2 "folio 1: its 512 pages overlap the next folio in the file"},
		{V5_FOLIOS1 + 16, UINT64_C(3) << 52 | 0x4000a, 8, -EEXIST,
		 "session 2 \"luod\", file 1: its memory at 0x4000a000 is that of session 1 "
		 "\"vm:web1\", file 1 too"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(pokes); i++) {
		struct poke p = pokes[i];

		poke_all(&p, 1, 4, 5, 2);
	}
}

/* Not an error of the structures, but one that the next kernel will meet. */
static void test_folio_that_is_not_preserved(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_model(4, 5, 2);
	_cleanup_kho_ struct abi_kho *kho = NULL;
	uint64_t value = UINT64_C(3) << 52 | 0x40877;
	struct error err = ERROR_INIT;
	struct fixture f;

	fixture_open(&f, model, FIXTURE_CAPACITY);
	memcpy(fixture_at(&f, V5_FOLIOS1), &value, 8);
	if (fixture_read(f.mem, f.fdt_pa, &kho, &err) < 0)
		fail_msg("%s", error_message(&err));
	assert_int_equal(kho->luo->sessions[0].files[0].memfd->folios_not_preserved, 1);
	fixture_close(&f);
}

/* A hole that the kernel would skip. */
static void test_folio_without_a_frame(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_model(4, 5, 2);
	_cleanup_kho_ struct abi_kho *kho = NULL;
	struct error err = ERROR_INIT;
	struct fixture f;

	fixture_open(&f, model, FIXTURE_CAPACITY);
	memset(fixture_at(&f, V5_FOLIOS1), 0, 8);
	assert_int_equal(fixture_read(f.mem, f.fdt_pa, &kho, &err), 0);
	assert_int_equal(kho->luo->sessions[0].files[0].memfd->pages, 1);
	fixture_close(&f);
}

/* A version that nobody knows is shown and not followed. */
static void test_unknown_memfd(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_model(4, 5, 2);
	_cleanup_kho_ struct abi_kho *kho = NULL;
	struct error err = ERROR_INIT;
	struct fixture f;

	fixture_open(&f, model, FIXTURE_CAPACITY);
	memcpy(fixture_at(&f, V5_FILES1 + 16), "memfd-v3", 9);
	memset(fixture_at(&f, V5_MEMFD1), 0xff, 48);
	assert_int_equal(fixture_read(f.mem, f.fdt_pa, &kho, &err), 0);
	assert_null(kho->luo->sessions[0].files[0].memfd);
	assert_string_equal(kho->luo->sessions[0].files[0].compatible, "memfd-v3");
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_more_folios_than_memory),
		cmocka_unit_test(test_vmalloc),
		cmocka_unit_test(test_folios),
		cmocka_unit_test(test_folio_that_is_not_preserved),
		cmocka_unit_test(test_folio_without_a_frame),
		cmocka_unit_test(test_unknown_memfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
