/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/host/programs/state_compare.h"

#include <errno.h>
#include <libfdt.h>
#include <string.h>

/* Bytes that go on by themselves while nothing runs: timers' counts and clocks. */
static bool may_differ(const char *node, const char *prop, size_t offset)
{
	if (strcmp(node, "clock") == 0)
		return strcmp(prop, "tsc-offsets") != 0;
	if (strcmp(node, "pit") == 0)
		return offset < 72; /* count_load_time is in each channel */
	if (strncmp(node, "vcpu@", 5) == 0 && strcmp(prop, "lapic") == 0)
		return (offset >= 0x0a0 &&
			offset < 0x0a4) || /* priority: KVM derives it when asked */
		       (offset >= 0x390 && offset < 0x394) || /* current count */
		       (offset >= 0x200 && offset < 0x280);   /* a timer that fired since */
	if (strncmp(node, "vcpu@", 5) == 0 && strcmp(prop, "mp-state") == 0)
		return true; /* a halted vCPU which that timer woke */
	return strcmp(node, "/") == 0 && strcmp(prop, "checksum") == 0;
}

static int compare_property(const void *old, int node, int prop, const void *new, int twin,
			    const char *node_name, struct error *err)
{
	const char *name;
	int len, twin_len;
	const uint8_t *a = fdt_getprop_by_offset(old, prop, &name, &len);
	const uint8_t *b = fdt_getprop(new, twin, name, &twin_len);

	(void)node;
	if (!b || len != twin_len)
		return error_set(err, -EINVAL, "%s: %s: gone, or another length", node_name, name);
	for (int i = 0; i < len; i++) {
		if (a[i] != b[i] && !may_differ(node_name, name, (size_t)i))
			return error_set(err, -EINVAL, "%s: %s: byte %d was 0x%02x, is 0x%02x",
					 node_name, name, i, a[i], b[i]);
	}
	return 0;
}

static int compare_node(const void *old, int node, const void *new, int twin, struct error *err)
{
	const char *name = node == 0 ? "/" : fdt_get_name(old, node, NULL);
	int prop, r = 0;

	fdt_for_each_property_offset(prop, old, node)
	{
		if (r == 0)
			r = compare_property(old, node, prop, new, twin, name, err);
	}
	return r;
}

int state_compare(const struct state_blob *old, const struct state_blob *now, struct error *err)
{
	int r = compare_node(old->fdt, 0, now->fdt, 0, err), node;

	fdt_for_each_subnode(node, old->fdt, 0)
	{
		int twin = fdt_subnode_offset(now->fdt, 0, fdt_get_name(old->fdt, node, NULL));

		if (r == 0 && twin < 0)
			r = error_set(err, -EINVAL, "%s is gone",
				      fdt_get_name(old->fdt, node, NULL));
		if (r == 0)
			r = compare_node(old->fdt, node, now->fdt, twin, err);
	}
	return r;
}
