/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that can be wrong with LUO's own structures: each has its errno and its path. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "tests/abi/poke.h"

static void test_root(void **state _unused_)
{
	static const struct poke pokes[] = {
		{V5_LUO, 8, 0, -EBADMSG, "entry \"LUO\", compatible: no terminator within 8 bytes"},
		{V5_LUO, 0, 8, -EBADMSG, "entry \"LUO\", compatible: empty"},
		{V5_LUO, 'k', 1, -EBADMSG, "entry \"LUO\", compatible: \"kuo-v5\" is no LUO"},
		{V5_LUO + 5, '6', 1, -EPROTONOSUPPORT,
		 "entry \"LUO\", compatible: \"luo-v6\" is newer than the luo-v5 that this program "
		 "knows: use a newer holdfast"},
		{V5_LUO + 5, '2', 1, -EPROTONOSUPPORT,
		 "entry \"LUO\", compatible: \"luo-v2\" without a device tree: a draft of that "
		 "version, which is not read"},
		{V5_LUO + 16, OUTSIDE, 8, -EFAULT,
		 "sessions, block 1: address 0x7000000000 (4096 bytes) is outside the memory"},
		{V5_LUO + 16, V5_SESSIONS + 8, 8, -EINVAL,
		 "sessions, block 1: address 0x103008 is not page-aligned"},
		{V5_LUO + 16, V5_LUO, 8, -EEXIST,
		 "sessions, block 1: address 0x102000 is used by another structure already"},
		{V5_LUO + 24, OUTSIDE, 8, -EFAULT,
		 "FLBs: address 0x7000000000 (4096 bytes) is outside the memory"},
		{V5_LUO + 24, V5_SESSIONS, 8, -EEXIST,
		 "FLBs: address 0x103000 is used by another structure already"},
	};

	poke_all(pokes, ARRAY_SIZE(pokes), 4, 5, 2);
}

static void test_sessions(void **state _unused_)
{
	static const struct poke pokes[] = {
		{V5_SESSIONS, V5_SESSIONS, 8, -ELOOP,
		 "sessions, block 2: comes back to 0x103000: a cycle"},
		{V5_SESSIONS, V5_FILES1, 8, -EEXIST,
		 "sessions, block 2: address 0x104000 is used by another structure already"},
		{V5_SESSIONS, OUTSIDE, 8, -EFAULT,
		 "sessions, block 2: address 0x7000000000 (4096 bytes) is outside the memory"},
		{V5_SESSIONS + 8, 0, 8, -EOVERFLOW, "sessions, block 1: count is 0"},
		{V5_SESSIONS + 8, 52, 8, -EOVERFLOW,
		 "sessions, block 1: count is 52 where a block holds 51"},
		{V5_SESSIONS + 8, UINT64_MAX, 8, -EOVERFLOW,
		 "sessions, block 1: count is 18446744073709551615 where a block holds 51"},
		{V5_SESSIONS + 8, 3, 8, -EBADMSG, "session 3, name: empty"},
		{V5_SESSIONS + 16, 64, 0, -EBADMSG,
		 "session 1, name: no terminator within 64 bytes"},
		{V5_SESSIONS + 16 + 64, 0, 8, -ENOENT,
		 "session 1 \"vm:web1\", files: no address for 3 files"},
		{V5_SESSIONS + 16 + 64, OUTSIDE, 8, -EFAULT,
		 "session 1 \"vm:web1\", files, block 1: address 0x7000000000 (4096 bytes) is "
		 "outside the memory"},
		{V5_SESSIONS + 16 + 64, V5_SESSIONS, 8, -EEXIST,
		 "session 1 \"vm:web1\", files, block 1: address 0x103000 is used by another "
		 "structure already"},
		{V5_SESSIONS + 16 + 72, 4, 8, -EOVERFLOW,
		 "session 1 \"vm:web1\", files, count: 4 where the blocks hold 3"},
		{V5_SESSIONS + 16 + 80 + 64, V5_FILES1, 8, -EEXIST,
		 "session 2 \"luod\", files, block 1: address 0x104000 is used by another "
		 "structure already"},
	};

	poke_all(pokes, ARRAY_SIZE(pokes), 4, 5, 2);
}

static void test_files(void **state _unused_)
{
	static const struct poke pokes[] = {
		{V5_FILES1, V5_FILES1, 8, -ELOOP,
		 "session 1 \"vm:web1\", files, block 2: comes back to 0x104000: a cycle"},
		{V5_FILES1 + 8, 64, 8, -EOVERFLOW,
		 "session 1 \"vm:web1\", files, block 1: count is 64 where a block holds 63"},
		{V5_FILES1 + 8, 2, 8, -EOVERFLOW,
		 "session 1 \"vm:web1\", files, count: 3 where the blocks hold 2"},
		{V5_FILES1 + 16 + 64, 48, 0, -EBADMSG,
		 "session 1 \"vm:web1\", file 2, compatible: no terminator within 48 bytes"},
		{V5_FILES1 + 16 + 64, 0, 1, -EBADMSG,
		 "session 1 \"vm:web1\", file 2, compatible: empty"},
		{V5_FILES1 + 16 + 64 + 56, 0x300, 8, -EEXIST,
		 "session 1 \"vm:web1\", file 3, token: 0x300 is that of file 2 too"},
		{V5_FILES1 + 16 + 48, OUTSIDE, 8, -EFAULT,
		 "session 1 \"vm:web1\", file 1, memfd-v2, address 0x7000000000 (48 bytes) is "
		 "outside the memory"},
		{V5_FILES1 + 16 + 48, V5_MEMFD2, 8, -EEXIST,
		 "session 1 \"vm:web1\", file 2, memfd-v2, address 0x108000 is used by another "
		 "structure already"},
	};

	poke_all(pokes, ARRAY_SIZE(pokes), 4, 5, 2);
}

/* As Linux 6.19 wrote it. */
static void test_v1_without_flbs(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_model(2, 1, 2), *read = NULL;
	struct error err = ERROR_INIT;
	struct fixture f;
	char *name;

	fixture_open(&f, model, FIXTURE_CAPACITY);
	name = memmem(fixture_at(&f, V1_LUO), ABI_PAGE_SIZE, "luo-flb", sizeof("luo-flb"));
	assert_non_null(name);
	name[4] = 'x';
	assert_int_equal(fixture_read(f.mem, f.fdt_pa, &read, &err), 0);
	assert_int_equal(read->luo->session_count, 2);
	assert_int_equal(read->luo->flb_count, 0);
	fixture_close(&f);
}

static void test_flbs(void **state _unused_)
{
	static const struct poke pokes[] = {
		{V5_FLBS, 0, 8, -EOVERFLOW, "FLBs, pgcnt: 0 instead of 1"},
		{V5_FLBS, UINT64_C(1) << 52, 8, -EOVERFLOW,
		 "FLBs, pgcnt: 4503599627370496 instead of 1"},
		{V5_FLBS + 8, 64, 8, -EOVERFLOW, "FLBs, count: 64 where the page holds 63"},
		{V5_FLBS + 8, 2, 8, -EBADMSG, "FLB 2, name: empty"},
		{V5_FLBS + 16, 48, 0, -EBADMSG, "FLB 1, name: no terminator within 48 bytes"},
		{V5_FLBS + 16 + 56, 0, 8, -EBADMSG,
		 "FLB 1, count: \"test-flb-v1\" has no file that depends on it"},
	};

	poke_all(pokes, ARRAY_SIZE(pokes), 4, 5, 2);
}

static void test_same_names(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *kho = fixture_model(4, 5, 2);
	struct fixture f;

	fixture_open(&f, kho, FIXTURE_CAPACITY);
	memcpy(fixture_at(&f, V5_SESSIONS + 16 + 80), "vm:web1", 8);
	poke_expect(&f, -EEXIST, "session 2 \"vm:web1\", name: is that of session 1 too");
	fixture_close(&f);

	fixture_open(&f, kho, FIXTURE_CAPACITY);
	*fixture_at(&f, V5_FLBS + 8) = 2;
	memcpy(fixture_at(&f, V5_FLBS + 16 + 64), fixture_at(&f, V5_FLBS + 16), 64);
	poke_expect(&f, -EEXIST, "FLB 2, name: \"test-flb-v1\" is that of FLB 1 too");
	fixture_close(&f);
}

/* The arrays of luo-v1 and its device tree. */
static void test_v1(void **state _unused_)
{
	static const struct poke pokes[] = {
		{V1_SESSIONS, 820, 8, -EOVERFLOW, "sessions, count: 820 where the array holds 819"},
		{V1_SESSIONS, 3, 8, -EBADMSG, "session 3, name: empty"},
		{V1_SESSIONS + 8 + 72, 129, 8, -EOVERFLOW,
		 "session 1 \"vm:web1\", files, count: 129 where the array holds 128"},
		{V1_SESSIONS + 8 + 64, V1_SESSIONS + 0x1000, 8, -EEXIST,
		 "session 1 \"vm:web1\", files: address 0x111000 is used by another structure "
		 "already"},
		{V1_SESSIONS + 8 + 64, OUTSIDE, 8, -EFAULT,
		 "session 1 \"vm:web1\", files: address 0x7000000000 (8192 bytes) is outside the "
		 "memory"},
		{V1_FILES1 + 128, 48, 0, -EBADMSG,
		 "session 1 \"vm:web1\", file 3, compatible: no terminator within 48 bytes"},
		/* Fields of the tree, found with the blob at hand: test_golden pins them down. */
		{V1_LUO + 0x59, '9', 1, -EPROTONOSUPPORT,
		 "entry \"LUO\", compatible: \"luo-v9\" is newer than the luo-v5 that this program "
		 "knows: use a newer holdfast"},
		{V1_LUO + 0x59, '5', 1, -EPROTONOSUPPORT,
		 "entry \"LUO\", compatible: \"luo-v5\" in a device tree: a draft of that version, "
		 "which is not read"},
		{V1_LUO + 0x99, '3', 1, -EPROTONOSUPPORT,
		 "entry \"LUO\", luo-session, compatible: \"luo-session-v3\" is not known"},
		{V1_LUO + 0xa8, OUTSIDE, 8, -EFAULT,
		 "sessions: address 0x7000000000 (65536 bytes) is outside the memory"},
		{V1_LUO + 0x75, 'a', 1, -ENOENT, "entry \"LUO\", luo-session: no such node"},
	};

	poke_all(pokes, ARRAY_SIZE(pokes), 2, 1, 2);
}

/* The document's text calls the node v1, its defines v2: both are read. */
static void test_v1_session_node_of_the_text(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_model(2, 1, 2);
	_cleanup_kho_ struct abi_kho *kho = NULL;
	struct error err = ERROR_INIT;
	struct fixture f;

	fixture_open(&f, model, FIXTURE_CAPACITY);
	assert_memory_equal(fixture_at(&f, V1_LUO + 0x8c), "luo-session-v2", 15);
	*fixture_at(&f, V1_LUO + 0x99) = '1';
	assert_int_equal(fixture_read(f.mem, f.fdt_pa, &kho, &err), 0);
	assert_int_equal(kho->luo->session_count, 2);
	fixture_close(&f);
}

/* What was read before the error stays in the model. */
static void test_partial(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_model(4, 5, 2);
	_cleanup_kho_ struct abi_kho *kho = NULL;
	struct error err = ERROR_INIT;
	struct fixture f;

	fixture_open(&f, model, FIXTURE_CAPACITY);
	memset(fixture_at(&f, V5_FILES2 + 16), 'x', 48);
	assert_int_equal(fixture_read(f.mem, f.fdt_pa, &kho, &err), -EBADMSG);
	assert_string_equal(
		error_message(&err),
		"session 2 \"luod\", file 1, compatible: no terminator within 48 bytes");
	assert_int_equal(kho->luo->session_count, 2);
	assert_int_equal(kho->luo->sessions[0].file_count, 3);
	assert_int_equal(kho->luo->sessions[1].file_count, 0);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_root),	cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_files),	cmocka_unit_test(test_v1_without_flbs),
		cmocka_unit_test(test_flbs),	cmocka_unit_test(test_same_names),
		cmocka_unit_test(test_v1),	cmocka_unit_test(test_v1_session_node_of_the_text),
		cmocka_unit_test(test_partial),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
