/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/abi/tree.h"

#include <errno.h>
#include <libfdt.h>
#include <string.h>

#include "base/devicetree.h"

int abi_tree_check(const void *fdt, size_t available, struct error *err)
{
	return devicetree_check(fdt, available, err) < 0 ? -EBADMSG : 0;
}

int abi_tree_compatible(const void *fdt, int node, char *buf, size_t size, struct error *err)
{
	int len;
	const char *text = fdt_getprop(fdt, node, "compatible", &len);

	if (!text || len <= 0)
		return error_set(err, -EBADMSG, "compatible: missing");
	if ((size_t)len > size || strnlen(text, (size_t)len) != (size_t)len - 1)
		return error_set(err, -EBADMSG, "compatible: not one short terminated string");
	memcpy(buf, text, (size_t)len);
	return 0;
}

int abi_tree_u64(const void *fdt, int node, const char *name, uint64_t *ret, struct error *err)
{
	int len;
	const void *value = fdt_getprop(fdt, node, name, &len);

	if (!value)
		return error_set(err, -ENOENT, "%s: missing", name);
	if (len != (int)sizeof(*ret))
		return error_set(err, -EBADMSG, "%s: %d bytes instead of 8", name, len);
	memcpy(ret, value, sizeof(*ret));
	return 0;
}

int abi_tree_put_string(void *fdt, const char *name, const char *value)
{
	return fdt_property(fdt, name, value, (int)strlen(value) + 1);
}

int abi_tree_finish(void *fdt, size_t size)
{
	int r = fdt_finish(fdt);

	if (r == 0)
		memset((char *)fdt + fdt_totalsize(fdt), 0, size - fdt_totalsize(fdt));
	return r;
}
