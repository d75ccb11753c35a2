/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory the host has left: /proc/meminfo (proc_meminfo(5)). */
#ifndef HOLDFAST_BASE_MEMINFO_H
#define HOLDFAST_BASE_MEMINFO_H

#include <stdint.h>

#define MEMINFO_PATH "/proc/meminfo"

/*
 * Bytes that can be had and pinned without taking them from anybody: what is available, without
 * the areas of CMA, in which nothing may be pinned. A negative errno: the file at path cannot be
 * read, or does not say.
 */
int meminfo_pinnable(const char *path, uint64_t *ret);

#endif
