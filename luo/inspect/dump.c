/* SPDX-License-Identifier: Apache-2.0 */
/* A dump: every KHO root in it, the newest first. */
#include <inttypes.h>

#include "base/util.h"
#include "luo/inspect/inspect.h"

/* Each kexec counts one up, so the highest count was written last. */
static uint64_t age_key(const struct inspect_state *state)
{
	if (!state->kho)
		return 0;
	return 1 + (state->kho->has_metadata ? (uint64_t)state->kho->metadata.kexec_count : 0);
}

static int newest_first(const void *a, const void *b)
{
	const struct inspect_state *x = a, *y = b;

	if (age_key(x) != age_key(y))
		return age_key(x) < age_key(y) ? 1 : -1;
	if (x->handed_over != y->handed_over)
		return x->handed_over ? -1 : 1;
	return (x->fdt_pa > y->fdt_pa) - (x->fdt_pa < y->fdt_pa);
}

static int read_roots(struct inspect *inspect, const struct physmem *mem,
		      const struct abi_scan *scan, struct error *err)
{
	for (size_t i = 0; i < scan->root_count; i++) {
		const struct abi_root_place *root = &scan->roots[i];
		struct inspect_state *state = inspect_add_state(inspect, INSPECT_FOUND);

		if (!state)
			return error_set(err, -ENOMEM, "inspect: out of memory");
		snprintf(state->source, sizeof(state->source), "found in memory");
		inspect_read_state(state, mem, root->fdt_pa);
		state->handed_over = root->handed_over;
		if (root->handed_over)
			inspect_read_scratch(state, mem, root->scratch_pa, root->scratch_size);
	}
	qsort(inspect->states, inspect->state_count, sizeof(*inspect->states), newest_first);
	inspect->states[0].newest = true;
	return 0;
}

int inspect_dump(const struct inspect_options *options, struct inspect *inspect, struct error *err)
{
	_cleanup_physmem_ struct physmem *mem = NULL;
	_cleanup_free_ struct abi_scan *scan = NULL;
	int r = physmem_open(options->from, &mem, err);

	if (r < 0)
		return r;
	scan = calloc(1, sizeof(*scan));
	if (!scan)
		return error_set(err, -ENOMEM, "inspect: out of memory");
	snprintf(inspect->from, sizeof(inspect->from), "%s", options->from);
	inspect->memory = physmem_size(mem);
	r = abi_scan(mem, options->scan_limit, NULL, NULL, scan, err);
	if (r < 0)
		return r;
	inspect_take_scan(inspect, scan);
	if (scan->root_count == 0)
		return error_set(err, -ENODATA,
				 "%s: no KHO root in %" PRIu64
				 " bytes: the kernel had kho off, or the dump leaves out pages of "
				 "the kernel",
				 options->from, scan->scanned);
	return read_roots(inspect, mem, scan, err);
}
