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

/* In "msrs" a byte's offset says nothing to a reader: the MSR's index does. */
static uint32_t msr_at(const uint8_t *msrs, int offset)
{
	uint32_t index;

	memcpy(&index, msrs + offset / 16 * 16, sizeof(index));
	return index;
}

/*
 * On AMD, where SYSENTER is of no use in long mode, KVM keeps 32 bits of IA32_SYSENTER_ESP and _EIP
 * when they are written from outside, while the guest itself may have written 64.
 */
static bool is_lost_half(const char *prop, const uint8_t *msrs, int offset, uint8_t now)
{
	uint32_t index = strcmp(prop, "msrs") == 0 ? msr_at(msrs, offset) : 0;

	return (index == 0x175 || index == 0x176) && offset % 16 >= 12 && now == 0;
}

static int compare_property(const void *old, int prop, const void *now, int twin,
			    const char *node_name, struct error *err)
{
	const char *name;
	int len, twin_len;
	const uint8_t *a = fdt_getprop_by_offset(old, prop, &name, &len);
	const uint8_t *b = fdt_getprop(now, twin, name, &twin_len);

	if (!b || len != twin_len)
		return error_set(err, -EINVAL, "%s: %s: gone, or another length", node_name, name);
	for (int i = 0; i < len; i++) {
		if (a[i] == b[i] || may_differ(node_name, name, (size_t)i) ||
		    is_lost_half(name, a, i, b[i]))
			continue;
		error_set(err, -EINVAL, "%s: %s: byte %d was 0x%02x, is 0x%02x", node_name, name, i,
			  a[i], b[i]);
		if (strcmp(name, "msrs") == 0)
			error_append(err, " (in MSR 0x%x)", msr_at(a, i));
		return -EINVAL;
	}
	return 0;
}

static int compare_node(const void *old, int node, const void *now, int twin, struct error *err)
{
	const char *name = node == 0 ? "/" : fdt_get_name(old, node, NULL);
	int prop, r = 0;

	fdt_for_each_property_offset(prop, old, node)
	{
		if (r == 0)
			r = compare_property(old, prop, now, twin, name, err);
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
