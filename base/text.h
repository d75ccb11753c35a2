/* SPDX-License-Identifier: Apache-2.0 */
/* Text that came from anywhere, for terminals, logs and JSON. */
#ifndef HOLDFAST_BASE_TEXT_H
#define HOLDFAST_BASE_TEXT_H

#include <stdint.h>

/*
 * Makes text valid UTF-8 without control characters, in place: each byte that is part of neither
 * becomes '?'. Line feeds and tabs stay. A sequence that was cut off at the end is dropped, so that
 * a text that was shortened to fit a buffer ends well.
 */
void text_make_printable(char *text);

/* Decimal digits and nothing else, not even a sign: 0, else -EINVAL. -ERANGE: more than max. */
int decimal_parse(const char *text, uint64_t max, uint64_t *ret);

#endif
