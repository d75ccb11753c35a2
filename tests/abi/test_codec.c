/* SPDX-License-Identifier: Apache-2.0 */
/* Round trips at the sizes where a list spills over, and what the encoder refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/abi/version.h"
#include "tests/abi/fixture.h"

#define BIG (8U << 20)

static struct abi_kho *many(uint32_t luo, size_t sessions, size_t files)
{
	struct abi_kho *kho = fixture_empty(4, luo);

	for (size_t i = 0; i < sessions; i++) {
		char name[64];
		struct abi_session *session;

		snprintf(name, sizeof(name), "session-%zu", i);
		session = fixture_add_session(kho, name);
		for (size_t j = 0; j < files; j++)
			fixture_add_file(session, "other-v1", j * 3)->data = i << 32 | j;
	}
	return kho;
}

static void check_many(uint32_t luo, size_t sessions, size_t files)
{
	_cleanup_kho_ struct abi_kho *model = many(luo, sessions, files);
	_cleanup_kho_ struct abi_kho *kho = NULL;
	struct error err = ERROR_INIT;
	struct fixture f;

	fixture_open(&f, model, BIG);
	if (fixture_read(f.mem, f.fdt_pa, &kho, &err) < 0)
		fail_msg("luo-v%u, %zu sessions, %zu files: %s", luo, sessions, files,
			 error_message(&err));
	assert_int_equal(kho->luo->session_count, sessions);
	for (size_t i = 0; i < sessions; i++) {
		const struct abi_session *session = &kho->luo->sessions[i];

		assert_string_equal(session->name, model->luo->sessions[i].name);
		assert_int_equal(session->file_count, files);
		for (size_t j = 0; j < files; j++) {
			assert_int_equal(session->files[j].data, i << 32 | j);
			assert_int_equal(session->files[j].token, j * 3);
		}
	}
	fixture_close(&f);
}

static void test_list_sizes(void **state _unused_)
{
	/* Around a block of sessions, of files, and around the arrays of luo-v1. */
	static const size_t sessions[] = {0, 1, 50, 51, 52, 102, 103, 819};
	static const size_t files[] = {0, 1, 62, 63, 64, 126, 127, 128};

	for (uint32_t luo = 1; luo <= ABI_LUO_VERSION_MAX; luo++) {
		for (size_t i = 0; i < ARRAY_SIZE(sessions); i++)
			check_many(luo, sessions[i], 0);
		for (size_t i = 0; i < ARRAY_SIZE(files); i++)
			check_many(luo, 3, files[i]);
	}
	check_many(4, 820, 0);
	check_many(5, 820, 1);
	check_many(5, 2, 1000);
}

/* A kernel before its reboot(KEXEC): sessions_pa is 0. */
static void test_no_sessions_yet(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = many(5, 0, 0);
	_cleanup_kho_ struct abi_kho *kho = NULL;
	struct error err = ERROR_INIT;
	struct fixture f;

	fixture_open(&f, model, FIXTURE_CAPACITY);
	assert_int_equal(fixture_read(f.mem, f.fdt_pa, &kho, &err), 0);
	assert_false(kho->luo->has_sessions);
	fixture_close(&f);
}

static void check_memfd(const struct abi_memfd *a, const struct abi_memfd *b)
{
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->folios, b->folios);
	assert_int_equal(a->pages, b->pages);
	assert_int_equal(a->extent_count, b->extent_count);
	assert_int_equal(a->folios_not_preserved, 0);
	for (size_t i = 0; i < a->extent_count; i++)
		assert_memory_equal(&a->extents[i], &b->extents[i], sizeof(a->extents[i]));
}

/* Folio lists that fill one page, one chunk (511 pages of 256 folios), and one more than that. */
static void test_folio_lists(void **state _unused_)
{
	static const uint64_t counts[] = {1,	     255,	   256, 257, 511 * 256 - 1,
					  511 * 256, 511 * 256 + 1};

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		_cleanup_kho_ struct abi_kho *model = fixture_empty(4, 5);
		_cleanup_kho_ struct abi_kho *kho = NULL;
		struct abi_file *file =
			fixture_add_file(fixture_add_session(model, "s"), "memfd-v2", 1);
		struct error err = ERROR_INIT;
		struct fixture f;

		fixture_add_extent(file, 0, FIXTURE_DATA, counts[i], 0);
		fixture_open(&f, model, BIG);
		if (fixture_read(f.mem, f.fdt_pa, &kho, &err) < 0)
			fail_msg("%llu folios: %s", (unsigned long long)counts[i],
				 error_message(&err));
		check_memfd(kho->luo->sessions[0].files[0].memfd, file->memfd);
		fixture_close(&f);
	}
}

/* All orders that a page allocator has, and holes in the file between folios. */
static void test_orders(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_empty(4, 5);
	_cleanup_kho_ struct abi_kho *kho = NULL;
	struct abi_file *file = fixture_add_file(fixture_add_session(model, "s"), "memfd-v2", 1);
	struct error err = ERROR_INIT;
	struct fixture f;
	uint64_t index = 0;

	for (uint32_t order = 0; order <= 10; order++) {
		fixture_add_extent(file, index, FIXTURE_DATA + (8ULL << 20) * (order + 1), 2,
				   order);
		index += (2ULL << order) + 16384;
	}
	fixture_open(&f, model, BIG);
	assert_int_equal(fixture_read(f.mem, f.fdt_pa, &kho, &err), 0);
	check_memfd(kho->luo->sessions[0].files[0].memfd, file->memfd);
	for (uint32_t order = 0; order <= 10; order++)
		assert_int_equal(kho->luo->sessions[0].files[0].memfd->folios_by_order[order], 2);
	fixture_close(&f);
}

/* An empty memfd has no list at all. */
static void test_empty_memfd(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_empty(4, 5);
	_cleanup_kho_ struct abi_kho *kho = NULL;
	struct error err = ERROR_INIT;
	struct fixture f;

	fixture_add_file(fixture_add_session(model, "s"), "memfd-v2", 1);
	fixture_open(&f, model, FIXTURE_CAPACITY);
	assert_int_equal(fixture_read(f.mem, f.fdt_pa, &kho, &err), 0);
	assert_int_equal(kho->luo->sessions[0].files[0].memfd->extent_count, 0);
	fixture_close(&f);
}

static void test_encoder_refuses(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *files = many(4, 2, 129), *sessions = many(3, 820, 0);
	struct error err = ERROR_INIT;
	uint64_t pa;

	for (size_t i = 0; i < 2; i++) {
		_cleanup_image_ struct abi_image image = {0};

		assert_int_equal(abi_image_init(&image, FIXTURE_BASE, FIXTURE_CAPACITY, &err), 0);
		assert_int_equal(abi_write_kho(&image, i ? sessions : files, &pa, &err),
				 -EOVERFLOW);
		assert_string_equal(error_message(&err),
				    i ? "count: 820 where the array holds 819"
				      : "session 1 \"session-0\", count: 129 where the array holds "
					"128");
	}
	files->luo->version = 6;
	{
		_cleanup_image_ struct abi_image image = {0};

		assert_int_equal(abi_image_init(&image, FIXTURE_BASE, FIXTURE_CAPACITY, &err), 0);
		assert_int_equal(abi_write_kho(&image, files, &pa, &err), -EPROTONOSUPPORT);
		files->luo->version = 5;
		abi_image_done(&image);
		assert_int_equal(abi_image_init(&image, FIXTURE_BASE, 3 * ABI_PAGE_SIZE, &err), 0);
		assert_int_equal(abi_write_kho(&image, files, &pa, &err), -ENOSPC);
		assert_string_equal(error_message(&err), "image: 12288 bytes are too few");
	}
}

static void test_version_numbers(void **state _unused_)
{
	assert_int_equal(abi_version_number("luo-v5", "luo-v"), 5);
	assert_int_equal(abi_version_number("luo-v12", "luo-v"), 12);
	assert_int_equal(abi_version_number("luo-v", "luo-v"), 0);
	assert_int_equal(abi_version_number("luo-v05", "luo-v"), 0);
	assert_int_equal(abi_version_number("luo-v5;block-v1", "luo-v"), 0);
	assert_int_equal(abi_version_number("luo-v99999999999", "luo-v"), 0);
	assert_int_equal(abi_version_number("kho-v4", "luo-v"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list_sizes),	cmocka_unit_test(test_no_sessions_yet),
		cmocka_unit_test(test_folio_lists),	cmocka_unit_test(test_orders),
		cmocka_unit_test(test_empty_memfd),	cmocka_unit_test(test_encoder_refuses),
		cmocka_unit_test(test_version_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
