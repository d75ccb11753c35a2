/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/reasons.h"

#include <stdarg.h>
#include <string.h>

static const struct luo_reason *find(const struct luo_reason *table, int code)
{
	while (table->code && table->code != code)
		table++;
	return table;
}

int luo_reason_set(const struct luo_reason *table, const struct luo_reason *more, int code,
		   struct error *err, const char *fmt, ...)
{
	const struct luo_reason *reason = find(table, code);
	va_list ap;
	int r;

	if (!reason->code && more && find(more, code)->code)
		reason = find(more, code);
	r = -(reason->code && reason->mapped ? reason->mapped : code);
	va_start(ap, fmt);
	error_vset(err, r, fmt, ap);
	va_end(ap);
	if (reason->code)
		error_append(err, ": %s", reason->text);
	else
		error_append(err, ": %s (%s)", strerror(code), reason->text);
	return r;
}
