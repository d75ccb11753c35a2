/* SPDX-License-Identifier: Apache-2.0 */
/* base/state: round trip, every truncation and every flipped bit refused, versions, leftovers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <libfdt.h>

#include "base/state.h"
#include "base/util.h"

struct lamp {
	uint64_t colour; /* no padding: compared as memory */
	uint64_t hours;
};

static int lamp_save(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	const struct lamp *lamp = obj;

	state_put_u32(w, "colour", (uint32_t)lamp->colour);
	state_put_u64(w, "hours", lamp->hours);
	return 0;
}

static int lamp_load(void *obj, uint32_t version _unused_, struct state_reader *r,
		     enum state_mode mode, struct error *err)
{
	struct lamp lamp = {.colour = state_get_u32_max(r, "colour", 7),
			    .hours = state_get_u64(r, "hours")};
	int ret = state_reader_done(r, err);

	if (ret == 0 && mode == STATE_APPLY)
		*(struct lamp *)obj = lamp;
	return ret;
}

static const struct state_ops lamp_ops = {
	.name = "lamp", .version = 2, .min_version = 1, .save = lamp_save, .load = lamp_load};

static struct state_writer *write_lamps(struct lamp lamps[2], const struct state_ops *ops,
					const void **blob, size_t *size)
{
	struct state_object objects[2] = {{.ops = ops, .obj = &lamps[0], .instance = "0"},
					  {.ops = ops, .obj = &lamps[1], .instance = "1"}};
	struct error err = ERROR_INIT;
	struct state_writer *w;

	assert_int_equal(state_writer_new(65536, &w, &err), 0);
	assert_int_equal(state_save_objects(objects, 2, w, &err), 0);
	assert_int_equal(state_writer_finish(w, blob, size, &err), 0);
	return w;
}

static int read_lamps(struct lamp lamps[2], unsigned int count, const void *data, size_t size,
		      struct error *err)
{
	struct state_object objects[2] = {{.ops = &lamp_ops, .obj = &lamps[0], .instance = "0"},
					  {.ops = &lamp_ops, .obj = &lamps[1], .instance = "1"}};
	struct state_blob blob;
	int r = state_blob_open(data, size, &blob, err);

	return r < 0 ? r : state_load_objects(objects, count, &blob, NULL, STATE_APPLY, err);
}

static void test_round_trip(void **state _unused_)
{
	struct lamp in[2] = {{3, 1ULL << 40}, {7, 0}}, out[2] = {0};
	struct error err = ERROR_INIT;
	const void *blob;
	size_t size;
	struct state_writer *w = write_lamps(in, &lamp_ops, &blob, &size);

	assert_int_equal(read_lamps(out, 2, blob, size, &err), 0);
	assert_memory_equal(in, out, sizeof(in));
	state_writer_free(w);
}

static void test_every_truncation_and_bit_flip_is_refused(void **state _unused_)
{
	struct lamp in[2] = {{1, 2}, {3, 4}}, out[2] = {{9, 9}, {9, 9}};
	const struct lamp untouched[2] = {{9, 9}, {9, 9}};
	const void *blob;
	size_t size;
	struct state_writer *w = write_lamps(in, &lamp_ops, &blob, &size);

	for (size_t cut = 0; cut < size; cut++) {
		_cleanup_free_ uint8_t *copy = malloc(cut + 1);

		memcpy(copy, blob, cut);
		assert_true(read_lamps(out, 2, copy, cut, NULL) < 0);
	}
	for (size_t bit = 0; bit < size * 8; bit++) {
		_cleanup_free_ uint8_t *copy = malloc(size);

		memcpy(copy, blob, size);
		copy[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_true(read_lamps(out, 2, copy, size, NULL) < 0);
	}
	assert_memory_equal(out, untouched, sizeof(out));
	state_writer_free(w);
}

static void test_refusals_name_the_object_and_change_nothing(void **state _unused_)
{
	struct state_ops newer = lamp_ops;
	struct lamp in[2] = {{1, 2}, {3, 4}}, out[2] = {0};
	const struct lamp untouched[2] = {0};
	struct error err = ERROR_INIT;
	const void *blob;
	struct state_writer *w;
	size_t size;

	newer.version = 3;
	w = write_lamps(in, &newer, &blob, &size);
	assert_int_equal(read_lamps(out, 2, blob, size, &err), -EPROTONOSUPPORT);
	assert_non_null(strstr(err.message, "lamp@0: version 3"));
	state_writer_free(w);

	/* The second lamp is out of range: the first must not be changed either. */
	in[1].colour = 8;
	w = write_lamps(in, &lamp_ops, &blob, &size);
	assert_int_equal(read_lamps(out, 2, blob, size, &err), -ERANGE);
	assert_non_null(strstr(err.message, "/lamp@1: colour: out of range"));
	state_writer_free(w);

	/* A node that nobody reads. */
	in[1].colour = 1;
	w = write_lamps(in, &lamp_ops, &blob, &size);
	assert_int_equal(read_lamps(out, 1, blob, size, &err), -EPROTONOSUPPORT);
	assert_non_null(strstr(err.message, "lamp@1"));
	state_writer_free(w);
	assert_memory_equal(out, untouched, sizeof(out));
}

static void test_other_format_is_refused_by_name(void **state _unused_)
{
	struct lamp in[2] = {{1, 2}, {3, 4}}, out[2];
	struct error err = ERROR_INIT;
	const void *blob;
	size_t size;
	struct state_writer *w = write_lamps(in, &lamp_ops, &blob, &size);
	_cleanup_free_ char *copy = malloc(size);

	memcpy(copy, blob, size);
	assert_int_equal(fdt_setprop_inplace(copy, 0, "compatible", "holdfast,state-v9", 18), 0);
	assert_int_equal(read_lamps(out, 2, copy, size, &err), -EPROTONOSUPPORT);
	assert_non_null(strstr(err.message, "holdfast,state-v9"));
	state_writer_free(w);
}

/* libfdt 1.6.1 follows a null pointer in a tree that says it is older than version 16. */
static void test_old_trees_are_refused(void **state _unused_)
{
	struct lamp in[2] = {{1, 2}, {3, 4}}, out[2];
	struct error err = ERROR_INIT;
	const void *blob;
	size_t size;
	struct state_writer *w = write_lamps(in, &lamp_ops, &blob, &size);
	_cleanup_free_ char *copy = malloc(size);

	memcpy(copy, blob, size);
	for (uint32_t version = 0; version < 17; version++) {
		fdt_set_version(copy, version);
		assert_int_equal(read_lamps(out, 2, copy, size, &err), -EINVAL);
		assert_non_null(strstr(err.message, "state: broken device tree: version "));
	}
	state_writer_free(w);
}

static void test_writer_limits(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct state_writer *w;
	const void *blob;
	size_t size;
	char big[512] = {0};

	assert_int_equal(state_writer_new(512, &w, &err), 0);
	state_begin(w, "big");
	state_put_bytes(w, "data", big, sizeof(big));
	state_end(w);
	assert_int_equal(state_writer_finish(w, &blob, &size, &err), -ENOSPC);
	assert_non_null(strstr(err.message, "data"));
	state_writer_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_truncation_and_bit_flip_is_refused),
		cmocka_unit_test(test_refusals_name_the_object_and_change_nothing),
		cmocka_unit_test(test_other_format_is_refused_by_name),
		cmocka_unit_test(test_old_trees_are_refused),
		cmocka_unit_test(test_writer_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
