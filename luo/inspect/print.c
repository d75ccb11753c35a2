/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "luo/inspect/inspect.h"

/* F_SEAL_ of linux/fcntl.h, by bit. */
static const char *const seal_names[] = {"SEAL", "SHRINK", "GROW", "WRITE", "FUTURE_WRITE", "EXEC"};

static void print_orders(const uint64_t counts[KHO_ORDER_MAX + 1], FILE *out)
{
	const char *before = " (";

	for (uint32_t order = 0; order <= KHO_ORDER_MAX; order++) {
		char size[32];

		if (counts[order] == 0)
			continue;
		fprintf(out, "%s%" PRIu64 " of %s", before, counts[order],
			inspect_size((uint64_t)ABI_PAGE_SIZE << order, size));
		before = ", ";
	}
	if (before[0] == ',')
		fputs(")", out);
}

static void print_extents(const struct abi_memfd *m, FILE *out)
{
	char size[32];

	for (size_t i = 0; i < m->extent_count; i++) {
		const struct abi_extent *e = &m->extents[i];

		fprintf(out, "        page %-10" PRIu64 " at 0x%-12" PRIx64 " %" PRIu64 " x %s\n",
			e->index, e->pa, e->folios,
			inspect_size((uint64_t)ABI_PAGE_SIZE << e->order, size));
	}
	if (m->extents_left_out > 0)
		fprintf(out, "        and %" PRIu64 " folios more\n", m->extents_left_out);
}

static void print_memfd(const struct abi_memfd *m, bool extents, FILE *out)
{
	char size[32];

	fprintf(out, "  %s, %" PRIu64 " folios", inspect_size(m->size, size), m->folios);
	print_orders(m->folios_by_order, out);
	fprintf(out, " in %" PRIu64 " extents", (uint64_t)m->extent_count + m->extents_left_out);
	if (m->seals) {
		fputs(", sealed", out);
		for (size_t i = 0; i < ARRAY_SIZE(seal_names); i++)
			if (m->seals & 1U << i)
				fprintf(out, " %s", seal_names[i]);
	}
	if (m->pos)
		fprintf(out, ", position %" PRIu64, m->pos);
	fputs("\n", out);
	if (m->folios_not_preserved > 0)
		fprintf(out,
			"      WARNING: %" PRIu64
			" folios are not among the preserved pages: the next kernel cannot take "
			"this file\n",
			m->folios_not_preserved);
	if (extents)
		print_extents(m, out);
}

/* Its data, which only the handler of that name can read. */
static void print_data(const struct abi_file *file, FILE *out)
{
	static const struct {
		const char *compatible, *what;
	} known[] = {
		{"iommufd-v1", "page tables of devices, listed"},
		{"vfio-pci-v1", "a device of the host, named"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcmp(file->compatible, known[i].compatible) == 0) {
			fprintf(out, "  %s at 0x%" PRIx64 "\n", known[i].what, file->data);
			return;
		}
	}
	fprintf(out, "  data 0x%" PRIx64 " of a handler that is not known here\n", file->data);
}

static void print_session(const struct abi_session *session, size_t number, bool extents, FILE *out)
{
	fprintf(out, "  session %zu \"%s\": %zu file%s\n", number, session->name,
		session->file_count, session->file_count == 1 ? "" : "s");
	for (size_t i = 0; i < session->file_count; i++) {
		const struct abi_file *file = &session->files[i];
		char buf[32], token[64];
		const char *class = inspect_token_class(session->name, file->token, buf);

		snprintf(token, sizeof(token), "0x%" PRIx64 "%s%s%s", file->token,
			 class[0] ? " (" : "", class, class[0] ? ")" : "");
		fprintf(out, "    token %-16s %-12s", token, file->compatible);
		if (file->memfd)
			print_memfd(file->memfd, extents, out);
		else
			print_data(file, out);
	}
}

static void print_luo(const struct inspect_state *state, bool extents, FILE *out)
{
	const struct abi_luo *luo = state->kho->luo;

	fprintf(out, "  LUO        luo-v%u, update number %" PRIu64 "%s\n", luo->version,
		luo->liveupdate_number,
		state->given_back ? " (from memory that the kernel has given back: as at boot)"
				  : "");
	if (!luo->has_sessions && state->kind == INSPECT_OUTGOING)
		fputs("  sessions   not written yet: the kernel does that inside reboot(KEXEC)\n",
		      out);
	else
		fprintf(out, "  sessions   %zu\n", luo->session_count);
	for (size_t i = 0; i < luo->session_count; i++)
		print_session(&luo->sessions[i], i + 1, extents, out);
	for (size_t i = 0; i < luo->flb_count; i++)
		fprintf(out, "  FLB \"%s\": data 0x%" PRIx64 ", %" PRIu64 " files depend on it\n",
			luo->flbs[i].name, luo->flbs[i].data, luo->flbs[i].count);
}

static void print_kho(const struct inspect_state *state, FILE *out)
{
	const struct abi_kho *kho = state->kho;
	char size[32];

	if (kho->version) {
		fprintf(out, "  root       kho-v%u", kho->version);
		if (state->fdt_pa)
			fprintf(out, " at 0x%" PRIx64, state->fdt_pa);
		fprintf(out, ", entries");
		for (size_t i = 0; i < kho->entry_count; i++)
			fprintf(out, " %s", kho->entries[i].name);
		fputs("\n", out);
	}
	if (kho->has_metadata)
		fprintf(out, "  written by %s, for kexec %u since the cold boot\n",
			kho->metadata.previous_release, kho->metadata.kexec_count);
	if (kho->preserved) {
		fprintf(out, "  preserved  %s in %" PRIu64 " pages",
			inspect_size(kho->preserved->pages * ABI_PAGE_SIZE, size),
			kho->preserved->pages);
		print_orders(kho->preserved->folios_by_order, out);
		fprintf(out, ", listed in %" PRIu64 " pages\n", kho->preserved->nodes);
	}
	for (size_t i = 0; i < state->scratch_count; i++)
		fprintf(out, "  scratch    0x%" PRIx64 ", %s\n", state->scratch[i].addr,
			inspect_size(state->scratch[i].size, size));
}

static void print_notes(const struct inspect_notes *notes, const char *indent, FILE *out)
{
	for (size_t i = 0; i < notes->count; i++)
		fprintf(out, "%snote: %s\n", indent, notes->list[i].text);
}

static void print_state(const struct inspect_state *state, bool extents, FILE *out)
{
	fprintf(out, "\n%s (%s%s%s)\n", inspect_kind_name(state->kind), state->source,
		state->handed_over ? ", named by a loaded kernel's setup_data" : "",
		state->kind == INSPECT_FOUND ? state->newest ? "; the newest" : "; older" : "");
	if (state->kho)
		print_kho(state, out);
	if (state->kho && state->kho->luo)
		print_luo(state, extents, out);
	if (state->code)
		fprintf(out, "  BROKEN: what follows the first error was not read\n");
	print_notes(&state->notes, "  ", out);
}

void inspect_print(const struct inspect *inspect, bool extents, FILE *out)
{
	char size[32];

	fprintf(out, "%s", inspect->from);
	if (inspect->memory)
		fprintf(out, ": %s of memory", inspect_size(inspect->memory, size));
	fputs("\n", out);
	print_notes(&inspect->notes, "", out);
	for (size_t i = 0; i < inspect->state_count; i++)
		print_state(&inspect->states[i], extents, out);
	if (inspect->holder_count > 0)
		fputs("\nsessions held open\n", out);
	for (size_t i = 0; i < inspect->holder_count; i++)
		fprintf(out, "  \"%s\" by %s (pid %d)\n", inspect->holders[i].session,
			inspect->holders[i].command, inspect->holders[i].pid);
}
