/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a session (Linux include/linux/kho/abi/luo.h, struct luo_file_ser). */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "luo/abi/decode.h"
#include "luo/abi/version.h"

static int add_file(void *opaque, const void *entry, uint64_t index, struct error *err)
{
	struct abi_session *session = opaque;
	struct luo_file_ser ser;
	struct abi_file *file;
	int r;

	memcpy(&ser, entry, sizeof(ser));
	if (ABI_GROW(session->files, session->file_count) < 0)
		return error_set(err, -ENOMEM, "file %" PRIu64 ": out of memory", index + 1);
	file = &session->files[session->file_count];
	r = abi_take_name(file->compatible, ser.compatible, sizeof(ser.compatible), "compatible",
			  err);
	if (r < 0) {
		error_prefix(err, "file %" PRIu64 ", ", index + 1);
		return r;
	}
	file->data = ser.data;
	file->token = ser.token;
	session->file_count++;
	return 0;
}

static int read_array(struct abi_reader *r, const struct luo_file_set_ser *set,
		      struct abi_session *session, struct error *err)
{
	_cleanup_free_ uint8_t *array = NULL;
	int code;

	if (set->count > LUO_FILES_PER_ARRAY)
		return error_set(err, -EOVERFLOW,
				 "files, count: %" PRIu64 " where the array holds %zu", set->count,
				 LUO_FILES_PER_ARRAY);
	array = malloc(LUO_FILE_ARRAY_PAGES * ABI_PAGE_SIZE);
	if (!array)
		return error_set(err, -ENOMEM, "files: out of memory");
	code = abi_reader_take(r, abi_reader_owner(r), set->files, array,
			       LUO_FILE_ARRAY_PAGES * ABI_PAGE_SIZE, err);
	if (code < 0) {
		error_prefix(err, "files: ");
		return code;
	}
	for (uint64_t i = 0; code == 0 && i < set->count; i++)
		code = add_file(session, array + i * sizeof(struct luo_file_ser), i, err);
	return code;
}

static int read_chain(struct abi_reader *r, const struct luo_file_set_ser *set,
		      struct abi_session *session, struct error *err)
{
	int code = abi_read_chain(r, set->files, "files", sizeof(struct luo_file_ser), add_file,
				  session, err);

	if (code < 0)
		return code;
	if (session->file_count != set->count)
		return error_set(err, -EOVERFLOW,
				 "files, count: %" PRIu64 " where the blocks hold %zu", set->count,
				 session->file_count);
	return 0;
}

struct token {
	uint64_t token;
	size_t index;
};

static int compare_tokens(const void *a, const void *b)
{
	const struct token *x = a, *y = b;

	if (x->token != y->token)
		return x->token < y->token ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

/* Tokens are per session: the kernel would give out the first of two, and never the other. */
static int check_tokens(const struct abi_session *session, struct error *err)
{
	_cleanup_free_ struct token *tokens =
		calloc(MAX_OF(session->file_count, 1U), sizeof(*tokens));

	if (!tokens)
		return error_set(err, -ENOMEM, "files: out of memory");
	for (size_t i = 0; i < session->file_count; i++)
		tokens[i] = (struct token){session->files[i].token, i};
	qsort(tokens, session->file_count, sizeof(*tokens), compare_tokens);
	for (size_t i = 1; i < session->file_count; i++)
		if (tokens[i].token == tokens[i - 1].token)
			return error_set(err, -EEXIST,
					 "file %zu, token: 0x%" PRIx64 " is that of file %zu too",
					 tokens[i].index + 1, tokens[i].token,
					 tokens[i - 1].index + 1);
	return 0;
}

int abi_read_files(struct abi_reader *r, uint32_t version, const struct luo_file_set_ser *set,
		   struct abi_session *session, struct error *err)
{
	const struct abi_version *v = abi_version_find(version);
	int code;

	if (set->count == 0)
		return 0;
	if (set->files == 0)
		return error_set(err, -ENOENT, "files: no address for %" PRIu64 " files",
				 set->count);
	code = v->files == ABI_LIST_CHAIN ? read_chain(r, set, session, err)
					  : read_array(r, set, session, err);
	return code < 0 ? code : check_tokens(session, err);
}
