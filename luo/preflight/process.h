/* SPDX-License-Identifier: Apache-2.0 */
/* Small questions to programs and processes. */
#ifndef HOLDFAST_LUO_PREFLIGHT_PROCESS_H
#define HOLDFAST_LUO_PREFLIGHT_PROCESS_H

#include <stddef.h>

/*
 * The first line that "<program> --version" prints, in buf; waits for it at most some seconds.
 * Negative errno when it cannot be run or says nothing.
 */
int process_version(const char *program, char *buf, size_t size);

/* The pid of a process that has the file open, and its name; 0: none that we may look into. */
int process_holder(const char *root, const char *path, char *command, size_t size);

/* Compares "1.2.3" and "1.10": negative, 0, positive. Text behind the numbers is not looked at. */
int version_compare(const char *a, const char *b);

#endif
