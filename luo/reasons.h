/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why the kernel said no: for each call a table from its errno to a reason and a way out. Private
 * to luo/; a table ends with code 0, whose text serves for every errno that is not listed.
 */
#ifndef HOLDFAST_LUO_REASONS_H
#define HOLDFAST_LUO_REASONS_H

#include "base/error.h"

struct luo_reason {
	int code;	  /* errno of the kernel, positive */
	int mapped;	  /* what our caller gets, positive; 0: the same */
	const char *text; /* reason and way out */
};

/*
 * Sets "<subject>: <text>" and returns the mapped negative errno. The kernel's own words for the
 * errno are added where the table has none.
 */
int luo_reason_set(const struct luo_reason *table, int code, struct error *err, const char *fmt,
		   ...) _printf_(4, 5);

#endif
