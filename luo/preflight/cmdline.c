/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/preflight/cmdline.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* One parameter: where it ends, with blanks inside double quotes kept. */
static size_t word_length(const char *p)
{
	bool quoted = false;
	size_t len = 0;

	for (; p[len] && (quoted || !isspace((unsigned char)p[len])); len++)
		if (p[len] == '"')
			quoted = !quoted;
	return len;
}

/* The kernel takes "-" and "_" in names for the same. */
static bool same_name(const char *a, const char *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (a[i] != b[i] && !((a[i] == '-' || a[i] == '_') && (b[i] == '-' || b[i] == '_')))
			return false;
	return true;
}

bool cmdline_value(const char *cmdline, const char *name, char *buf, size_t size)
{
	size_t name_len = strlen(name);
	bool found = false;

	while (*cmdline) {
		size_t len;

		while (isspace((unsigned char)*cmdline))
			cmdline++;
		len = word_length(cmdline);
		if (len == 2 && strncmp(cmdline, "--", 2) == 0)
			break;
		if (len >= name_len && same_name(cmdline, name, name_len) &&
		    (len == name_len || cmdline[name_len] == '=')) {
			const char *value = cmdline + name_len + (len > name_len);

			snprintf(buf, size, "%.*s", (int)(cmdline + len - value), value);
			found = true;
		}
		cmdline += len;
	}
	return found;
}

static enum cmdline_switch parse_switch(const char *value)
{
	switch (tolower((unsigned char)value[0])) {
	case 'y':
	case 't':
	case '1':
		return CMDLINE_ON;
	case 'n':
	case 'f':
	case '0':
		return CMDLINE_OFF;
	case 'o':
		if (tolower((unsigned char)value[1]) == 'n')
			return CMDLINE_ON;
		if (tolower((unsigned char)value[1]) == 'f')
			return CMDLINE_OFF;
		break;
	default:
		break;
	}
	return CMDLINE_BAD;
}

enum cmdline_switch cmdline_switch(const char *cmdline, const char *name)
{
	char value[16];

	return cmdline_value(cmdline, name, value, sizeof(value)) ? parse_switch(value)
								  : CMDLINE_ABSENT;
}
