/* SPDX-License-Identifier: Apache-2.0 */
/* base/error: what callers build on without looking. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/util.h"

/* Where the compiler cannot see which code it is. */
static int set(struct error *err, int code)
{
	return error_set(err, code, "vm %s", "web1");
}

static int sys(struct error *err, int code)
{
	return error_sys(err, code, "disk %d", 7);
}

static void test_set(void **state _unused_)
{
	struct error err = ERROR_INIT;

	assert_string_equal(error_message(&err), "no error");
	assert_int_equal(set(&err, -ENOENT), -ENOENT);
	assert_int_equal(err.code, -ENOENT);
	assert_string_equal(error_message(&err), "vm web1");
	assert_int_equal(sys(&err, -EACCES), -EACCES);
	assert_string_equal(error_message(&err), "disk 7: Permission denied");
	error_clear(&err);
	assert_int_equal(err.code, 0);
	assert_string_equal(error_message(&err), "no error");
}

/* A failure whose errno was not set must not look like a success. */
static void test_never_success(void **state _unused_)
{
	static const int codes[] = {0, 1, ENOENT, INT32_MAX};
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		assert_int_equal(set(&err, codes[i]), -EIO);
		assert_int_equal(err.code, -EIO);
		assert_int_equal(set(NULL, codes[i]), -EIO);
		assert_int_equal(sys(&err, codes[i]), -EIO);
		assert_string_equal(error_message(&err), "disk 7: Input/output error");
		assert_int_equal(sys(NULL, codes[i]), -EIO);
	}
}

static void test_around(void **state _unused_)
{
	struct error err = ERROR_INIT;

	set(&err, -EBUSY);
	error_prefix(&err, "update %d: ", 3);
	error_append(&err, " (%s)", "try again");
	assert_string_equal(error_message(&err), "update 3: vm web1 (try again)");
	assert_int_equal(err.code, -EBUSY);
	error_prefix(NULL, "nobody reads this");
	error_append(NULL, "nor this");
	assert_string_equal(error_message(NULL), "unknown error");
}

static void test_too_long(void **state _unused_)
{
	char longer[ERROR_MESSAGE_MAX + 100];
	struct error err = ERROR_INIT;

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	error_set(&err, -EINVAL, "%s", longer);
	error_prefix(&err, "vm: ");
	error_append(&err, " end");
	assert_int_equal(strlen(err.message), ERROR_MESSAGE_MAX - 1);
	assert_memory_equal(err.message, "vm: xxx", 7);
}

/* What a state or a guest calls itself goes to terminals and into JSON. */
static void test_printable(void **state _unused_)
{
	struct error err = ERROR_INIT;

	error_set(&err, -EINVAL, "name \"%s\"", "\x1b[2J\xff");
	assert_string_equal(err.message, "name \"?[2J?\"");
	error_prefix(&err, "%s: ", "\x80");
	error_append(&err, " %s", "\x01");
	assert_string_equal(err.message, "?: name \"?[2J?\" ?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),	  cmocka_unit_test(test_never_success),
		cmocka_unit_test(test_around),	  cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
