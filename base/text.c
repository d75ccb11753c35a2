/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

/* Bytes of the sequence that begins with this one; 0: none does. RFC 3629, 4. */
static unsigned int sequence_length(uint8_t first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		return 2;
	if ((first & 0xf0) == 0xe0)
		return 3;
	return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

/* The second byte of some is bounded: no overlong forms, no surrogates, nothing past U+10FFFF. */
static bool second_fits(uint8_t first, uint8_t second)
{
	switch (first) {
	case 0xe0:
		return second >= 0xa0;
	case 0xed:
		return second <= 0x9f;
	case 0xf0:
		return second >= 0x90;
	case 0xf4:
		return second <= 0x8f;
	default:
		return true;
	}
}

/* How many bytes of the sequence at s are there and good; *ret_length: how many there should be. */
static unsigned int good_bytes(const uint8_t *s, unsigned int *ret_length)
{
	unsigned int length = sequence_length(s[0]), n = length > 0;

	*ret_length = length;
	while (n < length && (s[n] & 0xc0) == 0x80 && (n != 1 || second_fits(s[0], s[1])))
		n++;
	return n;
}

static bool is_control(uint8_t c)
{
	return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
}

void text_make_printable(char *text)
{
	uint8_t *s = (uint8_t *)text;

	while (*s) {
		unsigned int length;
		unsigned int n = good_bytes(s, &length);

		if (n == length && n > 0 && !is_control(*s)) {
			s += n;
		} else if (n > 0 && n < length && s[n] == '\0') {
			*s = '\0';
		} else {
			*s++ = '?';
		}
	}
}

int decimal_parse(const char *text, uint64_t max, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end)
		return -EINVAL;
	if (errno || value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}
