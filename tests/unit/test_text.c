/* SPDX-License-Identifier: Apache-2.0 */
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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_printable)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
