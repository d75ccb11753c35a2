/* SPDX-License-Identifier: Apache-2.0 */
/* The sessions (Linux include/linux/kho/abi/luo.h, struct luo_session_ser). */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "luo/abi/decode.h"
#include "luo/abi/version.h"

struct sessions {
	struct abi_reader *reader;
	uint32_t version;
	struct abi_luo *luo;
};

static int add_session(void *opaque, const void *entry, uint64_t index, struct error *err)
{
	struct sessions *s = opaque;
	struct abi_session *session;
	struct luo_session_ser ser;
	int r;

	memcpy(&ser, entry, sizeof(ser));
	if (ABI_GROW(s->luo->sessions, s->luo->session_count) < 0)
		return error_set(err, -ENOMEM, "session %" PRIu64 ": out of memory", index + 1);
	session = &s->luo->sessions[s->luo->session_count];
	r = abi_take_name(session->name, ser.name, sizeof(ser.name), "name", err);
	if (r < 0) {
		error_prefix(err, "session %" PRIu64 ", ", index + 1);
		return r;
	}
	s->luo->session_count++;
	r = abi_read_files(s->reader, s->version, &ser.file_set, session, err);
	if (r < 0)
		error_prefix(err, "session %" PRIu64 " \"%s\", ", index + 1, session->name);
	return r;
}

static int read_array(struct sessions *s, uint64_t pa, struct error *err)
{
	const size_t size = LUO_SESSION_ARRAY_PAGES * ABI_PAGE_SIZE;
	_cleanup_free_ uint8_t *array = malloc(size);
	struct luo_session_header_ser header;
	int r;

	if (!array)
		return error_set(err, -ENOMEM, "sessions: out of memory");
	r = abi_reader_take(s->reader, abi_reader_owner(s->reader), pa, array, size, err);
	if (r < 0) {
		error_prefix(err, "sessions: ");
		return r;
	}
	memcpy(&header, array, sizeof(header));
	if (header.count > LUO_SESSIONS_PER_ARRAY)
		return error_set(err, -EOVERFLOW,
				 "sessions, count: %" PRIu64 " where the array holds %zu",
				 header.count, LUO_SESSIONS_PER_ARRAY);
	for (uint64_t i = 0; r == 0 && i < header.count; i++)
		r = add_session(s, array + sizeof(header) + i * sizeof(struct luo_session_ser), i,
				err);
	return r;
}

struct name {
	const char *name;
	size_t index;
};

static int compare_names(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : (x->index > y->index) - (x->index < y->index);
}

static int check_names(const struct abi_luo *luo, struct error *err)
{
	_cleanup_free_ struct name *names = calloc(MAX_OF(luo->session_count, 1U), sizeof(*names));

	if (!names)
		return error_set(err, -ENOMEM, "sessions: out of memory");
	for (size_t i = 0; i < luo->session_count; i++)
		names[i] = (struct name){luo->sessions[i].name, i};
	qsort(names, luo->session_count, sizeof(*names), compare_names);
	for (size_t i = 1; i < luo->session_count; i++)
		if (strcmp(names[i].name, names[i - 1].name) == 0)
			return error_set(err, -EEXIST,
					 "session %zu \"%s\", name: is that of session %zu too",
					 names[i].index + 1, names[i].name, names[i - 1].index + 1);
	return 0;
}

int abi_read_sessions(struct abi_reader *r, uint32_t version, uint64_t pa, struct abi_luo *luo,
		      struct error *err)
{
	struct sessions s = {.reader = r, .version = version, .luo = luo};
	int code;

	/* A kernel that writes a chain has none before reboot(KEXEC) runs, and none without
	 * sessions. */
	if (pa == 0)
		return 0;
	luo->has_sessions = true;
	if (abi_version_find(version)->sessions == ABI_LIST_CHAIN)
		code = abi_read_chain(r, pa, "sessions", sizeof(struct luo_session_ser),
				      add_session, &s, err);
	else
		code = read_array(&s, pa, err);
	return code < 0 ? code : check_names(luo, err);
}
