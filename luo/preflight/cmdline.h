/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel command line, read as the kernel does (Linux lib/cmdline.c, kernel/params.c). */
#ifndef HOLDFAST_LUO_PREFLIGHT_CMDLINE_H
#define HOLDFAST_LUO_PREFLIGHT_CMDLINE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The last value of "name=value" or of the bare "name" (an empty value), in buf, cut to size. What
 * follows "--" is init's. Quotes hold blanks together. False: not there.
 */
bool cmdline_value(const char *cmdline, const char *name, char *buf, size_t size);

enum cmdline_switch {
	CMDLINE_ABSENT,
	CMDLINE_OFF,
	CMDLINE_ON,
	CMDLINE_BAD, /* neither: the kernel keeps what it had before */
};

/* As kstrtobool(): y, t, 1, on; n, f, 0, off. */
enum cmdline_switch cmdline_switch(const char *cmdline, const char *name);

#endif
