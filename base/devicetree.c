/* SPDX-License-Identifier: Apache-2.0 */
#include "base/devicetree.h"

#include <errno.h>
#include <libfdt.h>

#define VERSION 17U

int devicetree_check(const void *data, size_t available, struct error *err)
{
	size_t total;
	int r;

	if (available < sizeof(struct fdt_header) || fdt_magic(data) != FDT_MAGIC)
		return error_set(err, -EINVAL, "not a flattened device tree");
	total = fdt_totalsize(data);
	if (total > available)
		return error_set(err, -EINVAL, "truncated: %zu of %zu bytes are there", available,
				 total);
	/* fdt_check_full() of libfdt 1.6.1 follows a null pointer in trees before version 16. */
	if (fdt_version(data) < VERSION)
		return error_set(err, -EINVAL, "broken device tree: version %u", fdt_version(data));
	r = fdt_check_full(data, total);
	if (r < 0)
		return error_set(err, -EINVAL, "broken device tree: %s", fdt_strerror(r));
	return 0;
}
