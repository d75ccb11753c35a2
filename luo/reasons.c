/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/reasons.h"

#include <stdarg.h>
#include <string.h>

int luo_reason_set(const struct luo_reason *table, int code, struct error *err, const char *fmt,
		   ...)
{
	const struct luo_reason *reason = table;
	va_list ap;
	int r;

	while (reason->code && reason->code != code)
		reason++;
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
