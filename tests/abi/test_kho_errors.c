/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that can be wrong with the KHO root, its entries and the tree of preserved pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "tests/abi/poke.h"

static void test_root(void **state _unused_)
{
	/* Offsets in the tree are those of the golden blob. */
	static const struct poke pokes[] = {
		{V5_FDT, 0, 4, -EBADMSG, "KHO root, not a flattened device tree"},
		{V5_FDT + 4, 0x20000000, 4, -EBADMSG,
		 "KHO root, broken device tree: FDT_ERR_TRUNCATED"},
		{V5_FDT + 4, 0x00200000, 4, -EBADMSG,
		 "KHO root, truncated: 4096 of 8192 bytes are there"},
		{V5_FDT + 20, 0x0f000000, 4, -EBADMSG, "KHO root, broken device tree: version 15"},
		{V5_FDT + 0x54, 'x', 1, -EBADMSG,
		 "KHO root, compatible: \"xho-v4\" is no Kexec Handover"},
		{V5_FDT + 0x59, '5', 1, -EPROTONOSUPPORT,
		 "KHO root, compatible: \"kho-v5\" is newer than the kho-v4 that this program "
		 "knows: use a newer holdfast"},
		{V5_FDT + 0x5a, 'x', 1, -EBADMSG,
		 "KHO root, compatible: not one short terminated string"},
	};

	poke_all(pokes, ARRAY_SIZE(pokes), 4, 5, 2);
}

static void test_metadata(void **state _unused_)
{
	static const struct poke pokes[] = {
		{V5_METADATA, 2, 4, -EPROTONOSUPPORT,
		 "entry \"kexec-metadata\", version: 2 is not known"},
		{V5_METADATA + 4, 65, 0, -EBADMSG,
		 "entry \"kexec-metadata\", previous_release: no terminator within 65 bytes"},
	};

	poke_all(pokes, ARRAY_SIZE(pokes), 4, 5, 2);
}

static void test_radix(void **state _unused_)
{
	static const struct poke pokes[] = {
		{V5_RADIX_ROOT + 16, OUTSIDE, 8, -EFAULT,
		 "preserved pages, level 4: address 0x7000000000 (4096 bytes) is outside the "
		 "memory"},
		{V5_RADIX_ROOT + 16, V5_RADIX_ROOT, 8, -ELOOP,
		 "preserved pages, level 4: comes back to 0x110000: a cycle"},
		{V5_RADIX_ROOT + 16, V5_RADIX_ROOT + 8, 8, -EINVAL,
		 "preserved pages, level 4: address 0x110008 is not page-aligned"},
		{V5_RADIX_LEVEL1 + 16, V5_RADIX_LEAF, 8, -ELOOP,
		 "preserved pages, level 0: comes back to 0x115000: a cycle"},
		/* Page frame 0 is no RAM of the fixture. */
		{V5_RADIX_LEAF, 1, 8, -EFAULT,
		 "preserved pages, a folio of order 0 at 0x0 is outside the memory"},
	};

	poke_all(pokes, ARRAY_SIZE(pokes), 4, 5, 2);
}

/* A tree hung into another place: keys that no folio can have. */
static void test_radix_keys(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_empty(4, 5);
	struct fixture f;
	uint64_t link;

	fixture_open(&f, model, FIXTURE_CAPACITY);
	/* sessions_pa 0; the tree begins behind the FDT, metadata, LUO and the FLBs. */
	memcpy(&link, fixture_at(&f, 0x104000 + 16), 8);
	memset(fixture_at(&f, 0x104000), 0, 4096);
	memcpy(fixture_at(&f, 0x104000 + 8 * 300), &link, 8);
	poke_expect(&f, -EBADMSG, "preserved pages, key 0x960000000000100 is too wide");
	memset(fixture_at(&f, 0x104000), 0, 4096);
	memcpy(fixture_at(&f, 0x104000), &link, 8);
	/* Now the leaf's bit 8 is the order bit: order 44, at 0. */
	memset(fixture_at(&f, 0x109000), 0, 4096);
	*fixture_at(&f, 0x109000 + 32) = 1;
	poke_expect(&f, -EFAULT,
		    "preserved pages, a folio of order 44 at 0x0 is outside the memory");
	*fixture_at(&f, 0x109000) = 4;
	poke_expect(&f, -EFAULT,
		    "preserved pages, a folio of order 51 at 0x0 is outside the memory");
	*fixture_at(&f, 0x109000) = 2;
	poke_expect(&f, -EBADMSG, "preserved pages, key 0x1 has no order");
	*fixture_at(&f, 0x109000) = 1;
	poke_expect(&f, -EBADMSG, "preserved pages, key 0x0 has no order");
	fixture_close(&f);
}

static void test_entries(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_model(4, 5, 2);
	struct fixture f;
	uint8_t *fdt;

	/* "blob-size" is renamed: the entry has none. */
	fixture_open(&f, model, FIXTURE_CAPACITY);
	fdt = fixture_at(&f, V5_FDT);
	for (size_t i = 0; i < 4000; i++)
		if (memcmp(fdt + i, "blob-size", 9) == 0)
			fdt[i] = 'B';
	poke_expect(&f, -ENOENT, "KHO root, entry \"LUO\", blob-size: missing");
	fixture_close(&f);

	fixture_open(&f, model, FIXTURE_CAPACITY);
	fdt = fixture_at(&f, V5_FDT);
	for (size_t i = 0; i < 4000; i++)
		if (memcmp(fdt + i, "kexec-metadata", 15) == 0)
			memcpy(fdt + i, "LUO\0\0\0\0\0\0\0\0\0\0\0", 15);
	poke_expect(&f, -EBADMSG, "KHO root, broken device tree: FDT_ERR_BADSTRUCTURE");
	fixture_close(&f);
}

/* Both entries of one name; the kernel would take the first. */
static void test_entry_twice(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_model(4, 5, 2);
	struct fixture f;
	uint8_t *fdt;

	fixture_open(&f, model, FIXTURE_CAPACITY);
	fdt = fixture_at(&f, V5_FDT);
	/* "kexec-metadata" and its padding are 16 bytes, "LUO" 4: no-ops (FDT_NOP) fill the rest.
	 */
	for (size_t i = 0; i < 4000; i++)
		if (memcmp(fdt + i, "kexec-metadata", 15) == 0)
			memcpy(fdt + i, "LUO\0\0\0\0\4\0\0\0\4\0\0\0\4", 16);
	poke_expect(&f, -EEXIST, "KHO root, entry \"LUO\": there twice");
	fixture_close(&f);
}

/* kho-v1 keeps its pages otherwise; everything else is read. */
static void test_v1_preserved(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_model(1, 1, 1);
	_cleanup_kho_ struct abi_kho *kho = NULL;
	_cleanup_reader_ struct abi_reader reader = {0};
	struct error err = ERROR_INIT;
	struct fixture f;

	fixture_open(&f, model, FIXTURE_CAPACITY);
	abi_reader_init(&reader, f.mem);
	assert_int_equal(abi_read_kho(&reader, f.fdt_pa, &kho, &err), 0);
	assert_int_equal(abi_read_preserved(&reader, kho, &err), -EPROTONOSUPPORT);
	assert_string_equal(error_message(&err),
			    "preserved pages: kho-v1 keeps them in chunked bitmaps, which are not "
			    "read");
	assert_int_equal(abi_read_luo(&reader, kho, &err), 0);
	/* Without the tree the orders come from the gaps. */
	assert_int_equal(kho->luo->sessions[0].files[1].memfd->folios_by_order[9], 2);
	assert_int_equal(kho->luo->sessions[0].files[1].memfd->folios_by_order[8], 1);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_root),	     cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_radix),	     cmocka_unit_test(test_radix_keys),
		cmocka_unit_test(test_entries),	     cmocka_unit_test(test_entry_twice),
		cmocka_unit_test(test_v1_preserved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
