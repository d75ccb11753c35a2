/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/inspect/inspect.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "base/util.h"
#include "luo/tokens.h"

const char *inspect_kind_name(enum inspect_kind kind)
{
	switch (kind) {
	case INSPECT_OUTGOING:
		return "outgoing";
	case INSPECT_INCOMING:
		return "incoming";
	case INSPECT_FOUND:
		return "found";
	}
	return "?";
}

void inspect_free(struct inspect *inspect)
{
	if (!inspect)
		return;
	for (size_t i = 0; i < inspect->state_count; i++) {
		abi_kho_free(inspect->states[i].kho);
		free(inspect->states[i].notes.list);
	}
	free(inspect->states);
	free(inspect->holders);
	free(inspect->notes.list);
	free(inspect);
}

struct inspect_state *inspect_add_state(struct inspect *inspect, enum inspect_kind kind)
{
	struct inspect_state *state;

	if (ABI_GROW(inspect->states, inspect->state_count) < 0)
		return NULL;
	state = &inspect->states[inspect->state_count++];
	state->kind = kind;
	return state;
}

void inspect_note(struct inspect_notes *notes, const char *fmt, ...)
{
	va_list ap;

	if (ABI_GROW(notes->list, notes->count) < 0)
		return;
	va_start(ap, fmt);
	vsnprintf(notes->list[notes->count].text, sizeof(notes->list->text), fmt, ap);
	va_end(ap);
	/* What memory held where a name should be. */
	text_make_printable(notes->list[notes->count].text);
	notes->count++;
}

void inspect_take_scan(struct inspect *inspect, const struct abi_scan *scan)
{
	inspect->scanned = scan->scanned;
	inspect->scan_complete = scan->complete;
	if (scan->unreadable)
		inspect_note(&inspect->notes,
			     "%" PRIu64 " of the %" PRIu64
			     " bytes that were searched could not be read",
			     scan->unreadable, scan->scanned);
}

static void take_result(struct inspect_state *state, int code, const struct error *err)
{
	if (code == 0)
		return;
	inspect_note(&state->notes, "%s", error_message(err));
	/* A part of an old version that is not read is no damage. */
	if (state->code == 0 && code != -EPROTONOSUPPORT)
		state->code = code;
}

void inspect_read_scratch(struct inspect_state *state, const struct physmem *mem, uint64_t pa,
			  uint64_t size)
{
	size_t count = (size_t)MIN_OF(size / sizeof(state->scratch[0]), INSPECT_SCRATCH_MAX);
	struct error err = ERROR_INIT;

	if (physmem_read(mem, pa, state->scratch, count * sizeof(state->scratch[0]), &err) < 0) {
		inspect_note(&state->notes, "scratch areas: %s", error_message(&err));
		return;
	}
	for (size_t i = 0; i < count; i++)
		if (state->scratch[i].size == 0 ||
		    !physmem_contains(mem, state->scratch[i].addr, state->scratch[i].size)) {
			inspect_note(&state->notes,
				     "scratch areas: their table at 0x%" PRIx64
				     " is not in place at this moment",
				     pa);
			return;
		}
	state->scratch_count = count;
}

void inspect_read_state(struct inspect_state *state, const struct physmem *mem, uint64_t fdt_pa)
{
	_cleanup_reader_ struct abi_reader reader = {0};
	struct error err = ERROR_INIT;
	int r;

	abi_reader_init(&reader, mem);
	state->fdt_pa = fdt_pa;
	r = abi_read_kho(&reader, fdt_pa, &state->kho, &err);
	take_result(state, r, &err);
	if (r < 0) {
		state->code = r;
		return;
	}
	take_result(state, abi_read_metadata(&reader, state->kho, &err), &err);
	take_result(state, abi_read_preserved(&reader, state->kho, &err), &err);
	take_result(state, abi_read_luo(&reader, state->kho, &err), &err);
}

int inspect_result(const struct inspect *inspect)
{
	for (size_t i = 0; i < inspect->state_count; i++) {
		const struct inspect_state *state = &inspect->states[i];

		if (state->code && (state->kind != INSPECT_FOUND || state->newest))
			return state->code;
	}
	return 0;
}

int inspect_gather(const struct inspect_options *options, struct inspect **ret, struct error *err)
{
	_cleanup_inspect_ struct inspect *inspect = calloc(1, sizeof(*inspect));
	int r;

	if (!inspect)
		return error_set(err, -ENOMEM, "inspect: out of memory");
	inspect->live = !options->from || strcmp(options->from, "kcore") == 0 ||
			strcmp(options->from, "mem") == 0;
	r = inspect->live ? inspect_live(options, inspect, err)
			  : inspect_dump(options, inspect, err);
	if (r < 0)
		return r;
	*ret = STEAL_PTR(inspect);
	return 0;
}

const char *inspect_token_class(const char *session, uint64_t token, char buf[32])
{
	buf[0] = '\0';
	if (strcmp(session, LUO_HOST_SESSION) == 0)
		return token == TOKEN_REGISTRY ? "registry" : "";
	if (strncmp(session, LUO_VM_SESSION_PREFIX, strlen(LUO_VM_SESSION_PREFIX)) != 0)
		return "";
	if (token == TOKEN_VM_STATE)
		return "state";
	if (token >= TOKEN_RAM_FIRST && token <= TOKEN_RAM_LAST)
		snprintf(buf, 32, "RAM %" PRIu64, token - TOKEN_RAM_FIRST);
	else if (token >= TOKEN_IOMMUFD && token <= TOKEN_IOMMUFD_LAST)
		snprintf(buf, 32, "iommufd %" PRIu64, token - TOKEN_IOMMUFD);
	else if (token >= TOKEN_VFIO_FIRST && token <= TOKEN_VFIO_LAST)
		snprintf(buf, 32, "vfio %" PRIu64, token - TOKEN_VFIO_FIRST);
	return buf;
}

const char *inspect_size(uint64_t bytes, char buf[32])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	if (bytes >> (10 * unit) << (10 * unit) == bytes)
		snprintf(buf, 32, "%" PRIu64 " %s", bytes >> (10 * unit), units[unit]);
	else
		snprintf(buf, 32, "%.1f %s", value, units[unit]);
	return buf;
}
