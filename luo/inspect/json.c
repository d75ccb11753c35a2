/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses, tokens and handles are strings in hexadecimal, so that no reader loses bits; sizes and
 * counts are numbers.
 */
#include <inttypes.h>

#include "base/util.h"
#include "luo/inspect/inspect.h"

static json_t *hex(uint64_t value)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "0x%" PRIx64, value);
	return json_string(buf);
}

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)MIN_OF(value, (uint64_t)INT64_MAX));
}

static json_t *orders_json(const uint64_t counts[KHO_ORDER_MAX + 1])
{
	json_t *object = json_object();

	for (uint32_t order = 0; order <= KHO_ORDER_MAX; order++) {
		char key[16];

		snprintf(key, sizeof(key), "%u", order);
		if (counts[order] > 0)
			json_object_set_new(object, key, number(counts[order]));
	}
	return object;
}

static json_t *notes_json(const struct inspect_notes *notes)
{
	json_t *array = json_array();

	for (size_t i = 0; i < notes->count; i++)
		json_array_append_new(array, json_string(notes->list[i].text));
	return array;
}

static json_t *memfd_json(const struct abi_memfd *m)
{
	json_t *extents = json_array();

	for (size_t i = 0; i < m->extent_count; i++) {
		const struct abi_extent *e = &m->extents[i];

		json_array_append_new(extents,
				      json_pack("{s:o,s:o,s:o,s:i,s:i}", "page", number(e->index),
						"address", hex(e->pa), "folios", number(e->folios),
						"order", (int)e->order, "flags", (int)e->flags));
	}
	return json_pack("{s:o,s:o,s:i,s:i,s:o,s:o,s:o,s:o,s:o,s:o}", "size", number(m->size),
			 "position", number(m->pos), "seals", (int)m->seals, "flags", (int)m->flags,
			 "folios", number(m->folios), "pages", number(m->pages), "folios-by-order",
			 orders_json(m->folios_by_order), "extents", extents, "extents-left-out",
			 number(m->extents_left_out), "folios-not-preserved",
			 number(m->folios_not_preserved));
}

/* A name from memory may hold any bytes; JSON wants UTF-8. */
static json_t *text(const char *value)
{
	json_t *string = json_string(value);
	char buf[LUO_NAME_SIZE * 4] = "";
	size_t used = 0;

	if (string)
		return string;
	for (const char *p = value; *p && used + 5 < sizeof(buf); p++)
		used += (size_t)snprintf(buf + used, sizeof(buf) - used,
					 (unsigned char)*p < 0x80 ? "%c" : "\\x%02x",
					 (unsigned char)*p);
	return json_string(buf);
}

static json_t *session_json(const struct abi_session *session)
{
	json_t *files = json_array();

	for (size_t i = 0; i < session->file_count; i++) {
		const struct abi_file *file = &session->files[i];
		char buf[32];
		json_t *object = json_pack("{s:o,s:o,s:s,s:o}", "token", hex(file->token),
					   "handler", text(file->compatible), "class",
					   inspect_token_class(session->name, file->token, buf),
					   "data", hex(file->data));

		if (file->memfd)
			json_object_set_new(object, "memfd", memfd_json(file->memfd));
		json_array_append_new(files, object);
	}
	return json_pack("{s:o,s:o}", "name", text(session->name), "files", files);
}

static json_t *luo_json(const struct abi_luo *luo)
{
	json_t *sessions = json_array(), *flbs = json_array();

	for (size_t i = 0; i < luo->session_count; i++)
		json_array_append_new(sessions, session_json(&luo->sessions[i]));
	for (size_t i = 0; i < luo->flb_count; i++)
		json_array_append_new(flbs,
				      json_pack("{s:o,s:o,s:o}", "name", text(luo->flbs[i].name),
						"data", hex(luo->flbs[i].data), "files",
						number(luo->flbs[i].count)));
	return json_pack("{s:i,s:o,s:b,s:o,s:o}", "version", (int)luo->version, "update-number",
			 number(luo->liveupdate_number), "sessions-written", (int)luo->has_sessions,
			 "sessions", sessions, "flbs", flbs);
}

static json_t *kho_json(const struct abi_kho *kho)
{
	json_t *entries = json_array(), *object;

	for (size_t i = 0; i < kho->entry_count; i++)
		json_array_append_new(entries,
				      json_pack("{s:o,s:o,s:o}", "name", text(kho->entries[i].name),
						"address", hex(kho->entries[i].pa), "size",
						number(kho->entries[i].size)));
	object = json_pack("{s:i,s:o}", "version", (int)kho->version, "entries", entries);
	if (kho->has_metadata)
		json_object_set_new(object, "metadata",
				    json_pack("{s:o,s:I}", "previous-release",
					      text(kho->metadata.previous_release), "kexec-count",
					      (json_int_t)kho->metadata.kexec_count));
	if (kho->preserved)
		json_object_set_new(object, "preserved",
				    json_pack("{s:o,s:o,s:o}", "pages",
					      number(kho->preserved->pages), "folios-by-order",
					      orders_json(kho->preserved->folios_by_order),
					      "tree-pages", number(kho->preserved->nodes)));
	return object;
}

static json_t *state_json(const struct inspect_state *state)
{
	json_t *scratch = json_array(), *object;

	for (size_t i = 0; i < state->scratch_count; i++)
		json_array_append_new(scratch,
				      json_pack("{s:o,s:o}", "address", hex(state->scratch[i].addr),
						"size", number(state->scratch[i].size)));
	object = json_pack("{s:s,s:s,s:b,s:b,s:b,s:b,s:o,s:o}", "kind",
			   inspect_kind_name(state->kind), "source", state->source, "newest",
			   (int)state->newest, "handed-over", (int)state->handed_over, "given-back",
			   (int)state->given_back, "broken", state->code != 0, "scratch", scratch,
			   "notes", notes_json(&state->notes));
	if (state->fdt_pa)
		json_object_set_new(object, "address", hex(state->fdt_pa));
	if (state->kho && state->kho->version)
		json_object_set_new(object, "kho", kho_json(state->kho));
	if (state->kho && state->kho->luo)
		json_object_set_new(object, "luo", luo_json(state->kho->luo));
	return object;
}

json_t *inspect_to_json(const struct inspect *inspect)
{
	json_t *states = json_array(), *holders = json_array();

	for (size_t i = 0; i < inspect->state_count; i++)
		json_array_append_new(states, state_json(&inspect->states[i]));
	for (size_t i = 0; i < inspect->holder_count; i++)
		json_array_append_new(holders, json_pack("{s:o,s:i,s:o}", "session",
							 text(inspect->holders[i].session), "pid",
							 inspect->holders[i].pid, "command",
							 text(inspect->holders[i].command)));
	return json_pack("{s:s,s:b,s:o,s:o,s:b,s:o,s:o,s:o}", "from", inspect->from, "live",
			 (int)inspect->live, "memory", number(inspect->memory), "scanned",
			 number(inspect->scanned), "scan-complete", (int)inspect->scan_complete,
			 "states", states, "sessions-held", holders, "notes",
			 notes_json(&inspect->notes));
}
