/* SPDX-License-Identifier: Apache-2.0 */
/* A host with as much memory as a test wants: for programs that are linked with wrap_meminfo. */
#ifndef HOLDFAST_TESTS_UNIT_MEMINFO_TEST_H
#define HOLDFAST_TESTS_UNIT_MEMINFO_TEST_H

#include "base/meminfo.h"

/* What this host has for pages; 0: ask it. */
static uint64_t pinnable;

int __real_meminfo_pinnable(const char *path, uint64_t *ret);
int __wrap_meminfo_pinnable(const char *path, uint64_t *ret);

int __wrap_meminfo_pinnable(const char *path, uint64_t *ret)
{
	int r = __real_meminfo_pinnable(path, ret);

	if (pinnable)
		*ret = pinnable;
	return r;
}

#endif
