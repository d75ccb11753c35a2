/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "base/util.h"

static void test_printable(void **state _unused_)
{
	static const struct {
		const char *from, *to;
	} texts[] = {
		{"", ""},
		{"plain: \"text\"", "plain: \"text\""},
		{"a\nb\tc", "a\nb\tc"},
		{"\x1b[31mred\x7f", "?[31mred?"},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"\xff\xfe", "??"},
		{"\x80x", "?x"},
		/* Overlong, a surrogate, past the end, a sequence that another begins in. */
		{"\xc0\xaf", "??"},
		{"\xe0\x80\xaf", "???"},
		{"\xed\xa0\x80", "???"},
		{"\xf4\x90\x80\x80", "????"},
		{"\xe2\x82\xc3\xa4", "??\xc3\xa4"},
		/* Cut off. */
		{"abc\xe2\x82", "abc"},
		{"abc\xf0", "abc"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(texts); i++) {
		char text[64];

		snprintf(text, sizeof(text), "%s", texts[i].from);
		text_make_printable(text);
		assert_string_equal(text, texts[i].to);
	}
}

static void test_decimal(void **state _unused_)
{
	static const char *const wrong[] = {"", "-1", "+1", " 1", "1 ", "1K", "0x1", "1.0", "x"};
	uint64_t value = 7;

	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(decimal_parse(wrong[i], UINT64_MAX, &value), -EINVAL);
	assert_int_equal(decimal_parse("10", 9, &value), -ERANGE);
	assert_int_equal(decimal_parse("18446744073709551616", UINT64_MAX, &value), -ERANGE);
	assert_int_equal(value, 7);
	assert_int_equal(decimal_parse("9", 9, &value), 0);
	assert_int_equal(value, 9);
	assert_int_equal(decimal_parse("018446744073709551615", UINT64_MAX, &value), 0);
	assert_true(value == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_printable),
		cmocka_unit_test(test_decimal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
