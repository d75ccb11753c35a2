/* SPDX-License-Identifier: Apache-2.0 */
/* What programs at the other end of a guest's console have in common. */
#ifndef HOLDFAST_TESTS_RELAY_H
#define HOLDFAST_TESTS_RELAY_H

#include <stddef.h>
#include <sys/types.h>

/* Opens the log that is appended to, and the FIFO (made if it is not there) that commands come
 * from; it never reads as ended. -1: said on standard error. */
int relay_open(const char *log_path, const char *commands_path, int *ret_log, int *ret_commands);

/* Reads once and writes all of that. The number of bytes in buf; 0: interrupted; -1: the end. */
ssize_t relay_copy(int from, int to, char *buf, size_t size);

#endif
