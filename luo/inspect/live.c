/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running host. What the kernel shows of its own accord comes first: the setup_data it was
 * started with, and debugfs as far as it can be trusted. The rest is read from memory.
 */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "base/util.h"
#include "luo/inspect/inspect.h"
#include "luo/inspect/sysfs.h"

#define DEBUGFS_PATH "/sys/kernel/debug"

/* What was given to this kernel: its pages, as far as nobody has used them since. */
static void read_incoming(struct inspect *inspect, struct inspect_sysfs *sysfs,
			  const struct physmem *mem)
{
	_cleanup_reader_ struct abi_reader reader = {0};
	struct inspect_state *state;
	struct error err = ERROR_INIT;

	if (!sysfs->incoming)
		return;
	state = inspect_add_state(inspect, INSPECT_INCOMING);
	if (!state)
		return;
	snprintf(state->source, sizeof(state->source), "%s", sysfs->incoming_source);
	state->fdt_pa = sysfs->setup.fdt_addr;
	state->kho = STEAL_PTR(sysfs->incoming);
	state->kho->metadata = sysfs->incoming_metadata;
	state->kho->has_metadata = sysfs->has_incoming_metadata;
	inspect_note(&state->notes, "preserved pages: the kernel read their tree at boot and gave "
				    "its memory back");
	if (!mem)
		return;
	abi_reader_init(&reader, mem);
	if (abi_read_luo(&reader, state->kho, &err) < 0) {
		abi_luo_free(state->kho->luo);
		state->kho->luo = NULL;
		inspect_note(&state->notes,
			     "LUO: the kernel gave this memory back and something else is in it "
			     "now (%s)",
			     error_message(&err));
	}
	state->given_back = state->kho->luo != NULL;
}

struct outgoing {
	const struct physmem *mem;
	uint64_t incoming_pa;
	uint32_t kexec_count; /* as this kernel writes it for the next one */
	const char *release;
};

/* Roots of earlier kernels stay in memory: ours is written by this release and counts one more than
 * the one that came in. */
static bool is_outgoing(void *opaque, const struct abi_root_place *place)
{
	const struct outgoing *o = opaque;
	_cleanup_reader_ struct abi_reader reader = {0};
	_cleanup_kho_ struct abi_kho *kho = NULL;

	if (place->fdt_pa == o->incoming_pa)
		return false;
	abi_reader_init(&reader, o->mem);
	return abi_read_kho(&reader, place->fdt_pa, &kho, NULL) == 0 &&
	       abi_read_metadata(&reader, kho, NULL) == 0 && kho->has_metadata &&
	       kho->metadata.kexec_count == o->kexec_count &&
	       strcmp(kho->metadata.previous_release, o->release) == 0;
}

/* The address of the outgoing root, or 0. */
static uint64_t find_outgoing(struct inspect *inspect, const struct inspect_sysfs *sysfs,
			      const struct physmem *mem, uint64_t limit)
{
	_cleanup_free_ struct abi_scan *scan = calloc(1, sizeof(*scan));
	struct outgoing o = {.mem = mem,
			     .incoming_pa = sysfs->setup.fdt_addr,
			     .release = sysfs->release,
			     .kexec_count = 1};
	struct error err = ERROR_INIT;
	int r;

	if (sysfs->has_incoming_metadata)
		o.kexec_count += sysfs->incoming_metadata.kexec_count;
	if (!scan || !mem)
		return 0;
	r = abi_scan(mem, limit, is_outgoing, &o, scan, &err);
	if (r < 0)
		inspect_note(&inspect->notes, "scan for the outgoing root: %s",
			     error_message(&err));
	inspect_take_scan(inspect, scan);
	if (scan->root_count > 0 && is_outgoing(&o, &scan->roots[scan->root_count - 1]))
		return scan->roots[scan->root_count - 1].fdt_pa;
	inspect_note(&inspect->notes,
		     "the outgoing root was not found in %" PRIu64 " bytes of memory%s",
		     scan->scanned,
		     r < 0 || scan->complete ? "" : ": the scan ended at its limit (--scan-limit)");
	return 0;
}

/* The blob that debugfs shows has no more than the version and the number. */
static void outgoing_from_debugfs(struct inspect_state *state, const struct inspect_sysfs *sysfs)
{
	struct abi_kho *kho = calloc(1, sizeof(*kho));

	snprintf(state->source, sizeof(state->source), "debugfs kho/out/sub_fdts/LUO");
	state->kho = kho;
	if (!kho)
		return;
	kho->luo = calloc(1, sizeof(*kho->luo));
	if (!kho->luo)
		return;
	kho->luo->version = sysfs->out_luo_version;
	kho->luo->liveupdate_number = sysfs->out_luo_number;
}

static void read_outgoing(struct inspect *inspect, const struct inspect_sysfs *sysfs,
			  const struct physmem *mem, uint64_t limit)
{
	struct inspect_state *state;
	uint64_t pa;

	if (!sysfs->kho)
		return;
	pa = find_outgoing(inspect, sysfs, mem, limit);
	if (pa == 0 && !sysfs->has_out_luo)
		return;
	state = inspect_add_state(inspect, INSPECT_OUTGOING);
	if (!state)
		return;
	if (pa != 0) {
		snprintf(state->source, sizeof(state->source), "found in memory");
		inspect_read_state(state, mem, pa);
	} else {
		outgoing_from_debugfs(state, sysfs);
	}
	memcpy(state->scratch, sysfs->scratch, sizeof(state->scratch));
	state->scratch_count = sysfs->scratch_count;
}

static void open_memory(const struct inspect_options *options, const char *root,
			struct inspect *inspect, struct physmem **ret)
{
	bool kcore = !options->from || strcmp(options->from, "kcore") == 0;
	struct error err = ERROR_INIT;
	char path[PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "%s%s", root, PHYSMEM_KCORE);
	r = kcore ? physmem_open_kcore(path, ret, &err) : physmem_open_devmem(ret, &err);
	if (r < 0) {
		snprintf(inspect->from, sizeof(inspect->from), "this host");
		inspect_note(&inspect->notes, "memory cannot be read: %s", error_message(&err));
		return;
	}
	snprintf(inspect->from, sizeof(inspect->from), "this host, %s", (*ret)->what);
	inspect->memory = physmem_size(*ret);
}

int inspect_live(const struct inspect_options *options, struct inspect *inspect, struct error *err)
{
	_cleanup_physmem_ struct physmem *mem = NULL;
	_cleanup_sysfs_ struct inspect_sysfs sysfs = {0};
	const char *root = options->root ? options->root : "";

	open_memory(options, root, inspect, &mem);
	sysfs_read(root, mem, &sysfs);
	for (size_t i = 0; i < sysfs.notes.count; i++)
		inspect_note(&inspect->notes, "%s", sysfs.notes.list[i].text);
	read_outgoing(inspect, &sysfs, mem, options->scan_limit);
	read_incoming(inspect, &sysfs, mem);
	inspect_find_holders(root, inspect);
	if (inspect->state_count == 0 && !sysfs.kho)
		return error_set(err, -ENODATA,
				 "this host: the kernel shows nothing of Kexec Handover: boot with "
				 "kho=on liveupdate=on, and mount debugfs (mount -t debugfs "
				 "none " DEBUGFS_PATH ")");
	return 0;
}
