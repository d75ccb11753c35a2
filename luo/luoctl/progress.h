/* SPDX-License-Identifier: Apache-2.0 */
/* An update as it is seen on a terminal: drawn anew in place with every event. */
#ifndef HOLDFAST_LUOCTL_PROGRESS_H
#define HOLDFAST_LUOCTL_PROGRESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "luo/luoctl/luoctl.h"

/*
 * Follows the update until it has ended; *ret is its document then, a new reference. Over the
 * network it waits for the host to come back from a kexec. Errors as api_call().
 */
int progress_follow(const struct ctl *ctl, const char *id, json_t **ret, struct error *err);

/*
 * Whether a request that came to `result` is to be made again, because the host may come back from
 * a kexec: over the network only, and for a quarter of an hour. Waits a moment before it says so.
 * *until_ns: 0 when the absence begins; kept by the caller.
 */
bool progress_await_return(const struct ctl *ctl, int result, uint64_t *until_ns);

/* The lines for `rows` x `columns` characters, as they are drawn; owned by the caller. For tests
 * and for progress_follow(). *ret_lines: how many. */
char *progress_draw(const json_t *update, unsigned int rows, unsigned int columns,
		    unsigned int *ret_lines);

#endif
