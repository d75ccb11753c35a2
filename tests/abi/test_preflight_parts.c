/* SPDX-License-Identifier: Apache-2.0 */
/* What preflight is made of: places in scratch areas, words of a command line, versions. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/preflight/cmdline.h"
#include "luo/preflight/process.h"
#include "luo/preflight/scratch.h"

static void test_scratch(void **state _unused_)
{
	static const struct kho_scratch_ser areas[] = {{0x1000000, 0x400000},
						       {0x8000000, 0x2000000}};
	struct scratch_segment s[] = {
		{.size = 5000, .align = 1},
		{.size = 0x1000000, .align = 0x200000},
		{.size = 0x1000000 - 0x2000, .align = 1, .min = 0x8000000},
		{.size = 0x400000, .align = 1},
	};

	assert_int_equal(scratch_place(areas, 2, s, 3), 3);
	assert_int_equal(s[0].pa, 0x1400000 - 8192);
	assert_int_equal(s[1].pa, 0x9000000);
	assert_int_equal(s[2].pa, 0x8002000);
	/* No area has 4 MiB in one piece any more. */
	assert_int_equal(scratch_place(areas, 2, s, 4), 3);
	assert_int_equal(scratch_place(areas, 0, s, 1), 0);
}

static void test_words(void **state _unused_)
{
	char buf[16];

	assert_int_equal(cmdline_switch("kho=on", "kho"), CMDLINE_ON);
	assert_int_equal(cmdline_switch("kho_scratch=1M", "kho"), CMDLINE_ABSENT);
	assert_int_equal(cmdline_switch("a=\"kho=on\"", "kho"), CMDLINE_ABSENT);
	assert_int_equal(cmdline_switch("kho=N kho=T", "kho"), CMDLINE_ON);
	assert_int_equal(cmdline_switch("a\v\r\fkho=1\v", "kho"), CMDLINE_ON);
	assert_true(cmdline_value("kho-scratch=5%", "kho_scratch", buf, sizeof(buf)));
	assert_string_equal(buf, "5%");
	assert_true(version_compare("0.1.0", "0.1.0") == 0);
	assert_true(version_compare("0.9.0", "0.10") < 0);
	assert_true(version_compare("1.0.1-rc1", "1.0") > 0);
	assert_int_equal(process_version("/nowhere", buf, sizeof(buf)), -ENOENT);
	assert_int_equal(process_version("true", buf, sizeof(buf)) < 0 ? -1 : 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scratch),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
