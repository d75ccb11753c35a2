/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes "config" and "timeline" of a preserved state. The first byte of the input chooses: the
 * rest is a whole blob, behind a right checksum, or it is the two documents inside one, with a NUL
 * between them.
 */
#include <libfdt.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/devicetree.h"
#include "base/util.h"
#include "vmm/update/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void write_again(const struct record *record)
{
	struct error err = ERROR_INIT;
	struct state_writer *w;
	struct state_blob blob;
	struct record again;
	const void *bytes;
	size_t size;

	must(state_writer_new(RECORD_SIZE_MAX, &w, &err) == 0);
	/* What was read came from a document that was small enough, and may still be too large in
	 * our own words. */
	if (record_save(record, w, &err) == 0) {
		must(state_writer_finish(w, &bytes, &size, &err) == 0);
		must(state_blob_open(bytes, size, &blob, &err) == 0);
		/* A name is required of a whole configuration only. */
		if (record->config.id[0]) {
			must(record_load(&blob, &again, &err) == 0);
			must(again.held == record->held);
			must(memcmp(&again.timeline, &record->timeline, sizeof(again.timeline)) ==
			     0);
		}
	}
	state_writer_free(w);
}

static void load(const void *bytes, size_t size)
{
	struct error err = ERROR_INIT;
	struct state_blob blob;
	struct record record;

	if (state_blob_open(bytes, size, &blob, &err) < 0)
		return;
	if (record_load(&blob, &record, &err) == 0)
		write_again(&record);
	else
		must(err.message[0] != '\0');
}

static void whole_blob(const uint8_t *data, size_t size)
{
	void *copy = malloc(size);
	struct error err = ERROR_INIT;

	if (!copy)
		return;
	memcpy(copy, data, size);
	if (devicetree_check(copy, size, &err) == 0 &&
	    fdt_setprop_inplace_u32(copy, 0, "checksum", 0) == 0)
		fdt_setprop_inplace_u32(copy, 0, "checksum",
					(uint32_t)crc32_z(0, copy, fdt_totalsize(copy)));
	load(copy, size);
	free(copy);
}

static void put_node(struct state_writer *w, const char *name, const char *compatible,
		     const char *json)
{
	state_begin(w, name);
	state_put_string(w, "compatible", compatible);
	state_put_u32(w, "version", 1);
	state_put_string(w, "json", json);
	if (strcmp(name, "config") == 0)
		state_put_u32(w, "held", 1);
	state_end(w);
}

static void documents(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct state_writer *w;
	const void *bytes;
	char *text = calloc(1, size + 2);
	size_t blob_size;

	if (!text)
		return;
	memcpy(text, data, size);
	must(state_writer_new(RECORD_SIZE_MAX + 2 * size, &w, &err) == 0);
	put_node(w, "config", "holdfast,config", text);
	put_node(w, "timeline", "holdfast,timeline", text + strlen(text) + 1);
	if (state_writer_finish(w, &bytes, &blob_size, &err) == 0)
		load(bytes, blob_size);
	state_writer_free(w);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	if (data[0] & 1)
		documents(data + 1, size - 1);
	else
		whole_blob(data + 1, size - 1);
	return 0;
}
