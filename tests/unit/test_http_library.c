/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP library is found by name, or what is wrong with it is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/http_library.h"

#define WAY_OUT "do without --api-socket"

static void test_loaded(void **state)
{
	struct http_library http = {0};
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(http_library_load(HTTP_LIBRARY_NAME, WAY_OUT, &http, &err), 0);
#define ASSERT_THERE(name) assert_non_null(http.name);
	HTTP_LIBRARY_FUNCTIONS(ASSERT_THERE)
	/* A second API in the same process. */
	assert_int_equal(http_library_load(HTTP_LIBRARY_NAME, WAY_OUT, &http, &err), 0);
}

static void test_missing(void **state)
{
	struct http_library http;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(http_library_load("libholdfast-none.so.1", WAY_OUT, &http, &err), -ENOENT);
	assert_non_null(strstr(error_message(&err), "libholdfast-none.so.1"));
	assert_non_null(strstr(error_message(&err), WAY_OUT));
}

static void test_foreign(void **state)
{
	struct http_library http;
	struct error err = ERROR_INIT;

	(void)state;
	/* Surely loaded already, and no HTTP server. */
	assert_int_equal(http_library_load("libjansson.so.4", WAY_OUT, &http, &err), -ENOSYS);
	assert_non_null(strstr(error_message(&err), "libjansson.so.4 has no MHD_"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loaded),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
