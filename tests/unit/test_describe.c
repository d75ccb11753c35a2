/* SPDX-License-Identifier: Apache-2.0 */
/* luo/inspect/describe: a sound state, a damaged one, one of another format, and none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/inspect/describe.h"

#define PATH "describe-test.state"

/* flip: a text in the blob whose first letter is changed; NULL: none. */
static void write_state(const char *flip, size_t tail)
{
	struct state_writer *w = NULL;
	struct error err = ERROR_INIT;
	const void *blob;
	size_t size;
	FILE *f = fopen(PATH, "we");

	assert_non_null(f);
	assert_int_equal(state_writer_new(65536, &w, &err), 0);
	state_begin(w, "uart@3f8");
	state_put_string(w, "compatible", "holdfast,uart");
	state_put_u32(w, "version", 3);
	state_put_u64(w, "base", 0x3f8);
	state_put_bytes(w, "fifo", "\1\2\3", 3);
	state_begin(w, "line@0");
	state_put_u32(w, "level", 1);
	state_end(w);
	state_end(w);
	assert_int_equal(state_writer_finish(w, &blob, &size, &err), 0);
	if (flip) {
		uint8_t *place = memmem(blob, size, flip, strlen(flip));

		assert_non_null(place);
		*place ^= 1;
	}
	assert_int_equal(fwrite(blob, 1, size, f), size);
	for (size_t i = 0; i < tail; i++)
		fputc(0, f);
	fclose(f);
	state_writer_free(w);
}

static char *described(const struct state_blob *blob)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	describe_print(blob, f);
	fclose(f);
	return text;
}

static void test_sound(void **state _unused_)
{
	_cleanup_free_ void *data = NULL;
	_cleanup_free_ char *text = NULL;
	struct error err = ERROR_INIT;
	struct state_blob blob;
	json_t *json, *uart, *properties;

	write_state(NULL, 5000);
	assert_int_equal(describe_load(PATH, &data, &blob, &err), 0);
	text = described(&blob);
	assert_non_null(strstr(text, "compatible           \"holdfast,state-v1\"\n"));
	assert_non_null(strstr(text, "\nuart@3f8\n  compatible           \"holdfast,uart\"\n"));
	assert_non_null(strstr(text, "  version              3 (0x3)\n"));
	assert_non_null(strstr(text, "  base                 1016 (0x3f8)\n"));
	assert_non_null(strstr(text, "  fifo                 3 bytes: 010203\n"));
	assert_non_null(strstr(text, "  line@0\n    level                1 (0x1)\n"));
	json = describe_to_json(&blob);
	uart = json_array_get(json_object_get(json, "objects"), 0);
	properties = json_object_get(uart, "properties");
	assert_string_equal(json_string_value(json_object_get(uart, "name")), "uart@3f8");
	assert_int_equal(json_integer_value(json_object_get(properties, "version")), 3);
	assert_string_equal(json_string_value(json_object_get(properties, "base")), "0x3f8");
	assert_int_equal(json_array_size(json_object_get(uart, "children")), 1);
	json_decref(json);
}

static void test_damaged(void **state _unused_)
{
	_cleanup_free_ void *data = NULL;
	struct error err = ERROR_INIT;
	struct state_blob blob;

	/* The tree stays sound, its checksum does not. */
	write_state("line@0", 0);
	assert_int_equal(describe_load(PATH, &data, &blob, &err), -EBADMSG);
	assert_non_null(blob.fdt);
	assert_string_equal(error_message(&err),
			    PATH ": state: checksum mismatch: the state is damaged");
}

static void test_no_state(void **state _unused_)
{
	_cleanup_free_ void *data = NULL;
	struct error err = ERROR_INIT;
	struct state_blob blob;
	FILE *f = fopen(PATH, "we");

	fputs("this is no state, but long enough to be one of some kind", f);
	fclose(f);
	assert_int_equal(describe_load(PATH, &data, &blob, &err), -EINVAL);
	assert_null(blob.fdt);
	assert_string_equal(error_message(&err),
			    PATH ": not a state: it is no flattened device tree");
	unlink(PATH);
	assert_int_equal(describe_load(PATH, &data, &blob, &err), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sound),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_no_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
