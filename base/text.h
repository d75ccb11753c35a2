/* SPDX-License-Identifier: Apache-2.0 */
/* Text that came from anywhere, for terminals, logs and JSON. */
#ifndef HOLDFAST_BASE_TEXT_H
#define HOLDFAST_BASE_TEXT_H

/*
 * Makes text valid UTF-8 without control characters, in place: each byte that is part of neither
 * becomes '?'. Line feeds and tabs stay. A sequence that was cut off at the end is dropped, so that
 * a text that was shortened to fit a buffer ends well.
 */
void text_make_printable(char *text);

#endif
