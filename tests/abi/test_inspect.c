/* SPDX-License-Identifier: Apache-2.0 */
/* luo/inspect: dumps with one and several roots, a live host, and what is said where nothing is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/inspect/inspect.h"
#include "tests/abi/host_tree.h"

#define LIMIT (8ULL << 20)

static char *printed(const struct inspect *inspect)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	inspect_print(inspect, true, f);
	fclose(f);
	return text;
}

static void expect_line(const char *text, const char *line)
{
	if (!strstr(text, line))
		fail_msg("missing: %s\nin:\n%s", line, text);
}

static void test_dump(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_model(4, 5, 2);
	_cleanup_inspect_ struct inspect *inspect = NULL;
	_cleanup_free_ char *text = NULL;
	struct error err = ERROR_INIT;
	struct host_tree tree;
	struct fixture f;
	struct inspect_options options = {.scan_limit = LIMIT};
	json_t *json, *luo;

	host_tree_make(&tree);
	fixture_open(&f, model, FIXTURE_CAPACITY);
	host_tree_put_memory(&tree, "/dump", &f, false);
	options.from = host_tree_path(&tree, "/dump");
	assert_int_equal(inspect_gather(&options, &inspect, &err), 0);
	assert_int_equal(inspect_result(inspect), 0);
	text = printed(inspect);
	expect_line(text, "found (found in memory; the newest)\n");
	expect_line(text, "  root       kho-v4 at 0x100000, entries LUO kexec-metadata\n");
	expect_line(text, "  written by 7.2.12-holdfast, for kexec 6 since the cold boot\n");
	expect_line(text, "  LUO        luo-v5, update number 7\n");
	expect_line(text, "  session 1 \"vm:web1\": 3 files\n");
	expect_line(text, "    token 0x100 (RAM 0)    memfd-v2      5 MiB, 3 folios (1 of 1 MiB, 2 "
			  "of 2 MiB) in 2 extents, sealed SHRINK GROW\n");
	expect_line(text, "        page 1024       at 0x40100000     1 x 1 MiB\n");
	expect_line(text, "vfio-pci-v1   a device of the host, named at 0x1122334455667788\n");
	expect_line(text, "  FLB \"test-flb-v1\": data 0xabcdef0102030405, 3 files depend on it\n");
	json = inspect_to_json(inspect);
	assert_non_null(json);
	luo = json_object_get(json_array_get(json_object_get(json, "states"), 0), "luo");
	assert_int_equal(json_integer_value(json_object_get(luo, "update-number")), 7);
	assert_int_equal(json_array_size(json_object_get(luo, "sessions")), 2);
	json_decref(json);
	fixture_close(&f);
	host_tree_remove(&tree);
}

static void test_broken_dump(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_model(4, 5, 2);
	_cleanup_inspect_ struct inspect *inspect = NULL;
	_cleanup_free_ char *text = NULL;
	struct inspect_options options = {.scan_limit = LIMIT};
	struct error err = ERROR_INIT;
	struct host_tree tree;
	struct fixture f;

	host_tree_make(&tree);
	fixture_open(&f, model, FIXTURE_CAPACITY);
	memset(fixture_at(&f, 0x10b000 + 16), 'x', 48);
	host_tree_put_memory(&tree, "/dump", &f, false);
	options.from = host_tree_path(&tree, "/dump");
	assert_int_equal(inspect_gather(&options, &inspect, &err), 0);
	assert_int_equal(inspect_result(inspect), -EBADMSG);
	text = printed(inspect);
	expect_line(text, "  session 1 \"vm:web1\": 3 files\n");
	expect_line(text, "BROKEN");
	expect_line(text, "note: session 2 \"luod\", file 1, compatible: no terminator within 48 "
			  "bytes\n");
	inspect_free(inspect);
	inspect = NULL;
	/* No root at all. */
	memset(fixture_at(&f, 0x100000), 0, 4096);
	host_tree_put_memory(&tree, "/dump", &f, false);
	options.from = host_tree_path(&tree, "/dump");
	assert_int_equal(inspect_gather(&options, &inspect, &err), -ENODATA);
	assert_non_null(strstr(error_message(&err), "no KHO root in "));
	fixture_close(&f);
	host_tree_remove(&tree);
}

/* A host in its seventh kernel: the fixture's root is what it will hand over. */
static void make_host(struct host_tree *tree, struct fixture *f, bool debugfs, bool kcore)
{
	struct kho_metadata_ser metadata = {
		.version = 1, .previous_release = "7.1.9-old", .kexec_count = 5};
	static const char name[] = "/sys/kernel/debug/kho/in/sub_fdts/kexec-metadata";
	_cleanup_kho_ struct abi_kho *old = fixture_empty(4, 5);
	struct fixture in;

	host_tree_make(tree);
	host_tree_put_text(tree, "/proc/sys/kernel/osrelease", "7.2.12-holdfast\n");
	host_tree_put_text(tree, "/proc/77/comm", "vmm\n");
	host_tree_link(tree, "/proc/77/fd/3", "anon_inode:[luo_session] vm:web1");
	host_tree_link(tree, "/proc/77/fd/4", "anon_inode:[luo_session] vm:web1");
	host_tree_link(tree, "/proc/77/fd/5", "/dev/null");
	if (kcore)
		host_tree_put_memory(tree, "/proc/kcore", f, true);
	if (!debugfs)
		return;
	fixture_open(&in, old, FIXTURE_CAPACITY);
	host_tree_put(tree, "/sys/kernel/debug/kho/in/fdt", fixture_at(&in, in.fdt_pa), 4096);
	fixture_close(&in);
	host_tree_put(tree, name, &metadata, sizeof(metadata));
	host_tree_put(tree, "/sys/kernel/debug/kho/out/sub_fdts/LUO", fixture_at(f, 0x102000), 32);
	host_tree_put_text(tree, "/sys/kernel/debug/kho/out/scratch_phys",
			   "0x1000000\n0x8000000\n");
	host_tree_put_text(tree, "/sys/kernel/debug/kho/out/scratch_len", "0x400000\n0x2000000\n");
}

static void test_live(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_empty(4, 5);
	_cleanup_inspect_ struct inspect *inspect = NULL;
	_cleanup_free_ char *text = NULL;
	struct inspect_options options = {.scan_limit = LIMIT};
	struct error err = ERROR_INIT;
	struct host_tree tree;
	struct fixture f;

	fixture_open(&f, model, FIXTURE_CAPACITY);
	make_host(&tree, &f, true, true);
	options.root = tree.root;
	assert_int_equal(inspect_gather(&options, &inspect, &err), 0);
	assert_int_equal(inspect_result(inspect), 0);
	text = printed(inspect);
	expect_line(text, "outgoing (found in memory)\n");
	expect_line(text,
		    "  sessions   not written yet: the kernel does that inside reboot(KEXEC)\n");
	expect_line(text, "  scratch    0x8000000, 32 MiB\n");
	expect_line(text, "incoming (debugfs kho/in/fdt)\n");
	expect_line(text, "  written by 7.1.9-old, for kexec 5 since the cold boot\n");
	expect_line(text, "sessions held open\n  \"vm:web1\" by vmm (pid 77)\n");
	assert_int_equal(inspect->holder_count, 1);
	fixture_close(&f);
	host_tree_remove(&tree);
}

/* Without memory debugfs is what remains; without both there is nothing to see. */
static void test_live_with_less(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_empty(4, 5);
	_cleanup_inspect_ struct inspect *inspect = NULL;
	_cleanup_free_ char *text = NULL;
	struct inspect_options options = {.scan_limit = LIMIT};
	struct error err = ERROR_INIT;
	struct host_tree tree;
	struct fixture f;

	fixture_open(&f, model, FIXTURE_CAPACITY);
	make_host(&tree, &f, true, false);
	options.root = tree.root;
	assert_int_equal(inspect_gather(&options, &inspect, &err), 0);
	text = printed(inspect);
	expect_line(text, "note: memory cannot be read: ");
	expect_line(text, "outgoing (debugfs kho/out/sub_fdts/LUO)\n");
	expect_line(text, "  LUO        luo-v5, update number 7\n");
	host_tree_remove(&tree);
	inspect_free(inspect);
	inspect = NULL;

	make_host(&tree, &f, false, true);
	options.root = tree.root;
	assert_int_equal(inspect_gather(&options, &inspect, &err), -ENODATA);
	expect_line(error_message(&err), "this host: the kernel shows nothing of Kexec Handover");
	host_tree_remove(&tree);
	fixture_close(&f);
}

/* The root that came in lies in the same memory: it is not taken for the outgoing one. */
static void test_live_incoming_in_memory(void **state _unused_)
{
	_cleanup_kho_ struct abi_kho *model = fixture_model(4, 5, 2);
	_cleanup_inspect_ struct inspect *inspect = NULL;
	struct inspect_options options = {.scan_limit = LIMIT};
	const uint64_t setup[4] = {0x100000, 4096, 0x1000, 48};
	struct error err = ERROR_INIT;
	struct host_tree tree;
	struct fixture f;

	fixture_open(&f, model, FIXTURE_CAPACITY);
	host_tree_make(&tree);
	host_tree_put_text(&tree, "/proc/sys/kernel/osrelease", "7.2.12-holdfast\n");
	host_tree_put_memory(&tree, "/proc/kcore", &f, true);
	host_tree_put_text(&tree, "/sys/kernel/boot_params/setup_data/0/type", "0x9\n");
	host_tree_put_text(&tree, "/sys/kernel/boot_params/setup_data/1/type", "0xa\n");
	host_tree_put(&tree, "/sys/kernel/boot_params/setup_data/1/data", setup, sizeof(setup));
	options.root = tree.root;
	assert_int_equal(inspect_gather(&options, &inspect, &err), 0);
	assert_int_equal(inspect->state_count, 1);
	assert_int_equal(inspect->states[0].kind, INSPECT_INCOMING);
	assert_int_equal(inspect->states[0].fdt_pa, 0x100000);
	assert_true(inspect->states[0].given_back);
	assert_int_equal(inspect->states[0].kho->luo->session_count, 2);
	fixture_close(&f);
	host_tree_remove(&tree);
}

/* Memory that was given back holds anything: what it is said to be must come through in JSON, too.
 */
static void test_note_of_anything(void **state _unused_)
{
	struct inspect inspect = {0};
	json_t *json, *notes;

	inspect_note(&inspect.notes, "compatible: \"%s\"", "\xff\xfe\x1b");
	json = inspect_to_json(&inspect);
	notes = json_object_get(json, "notes");
	assert_int_equal(json_array_size(notes), 1);
	assert_string_equal(json_string_value(json_array_get(notes, 0)), "compatible: \"???\"");
	json_decref(json);
	free(inspect.notes.list);
}

static void test_texts(void **state _unused_)
{
	char buf[32];

	assert_string_equal(inspect_size(0, buf), "0 bytes");
	assert_string_equal(inspect_size(4096, buf), "4 KiB");
	assert_string_equal(inspect_size(5000, buf), "4.9 KiB");
	assert_string_equal(inspect_size(UINT64_MAX, buf), "16.0 EiB");
	assert_string_equal(inspect_token_class("vm:a", 0, buf), "state");
	assert_string_equal(inspect_token_class("vm:a", 0x101, buf), "RAM 1");
	assert_string_equal(inspect_token_class("vm:a", 0x300, buf), "vfio 0");
	assert_string_equal(inspect_token_class("luod", 0, buf), "registry");
	assert_string_equal(inspect_token_class("systemd", 0, buf), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dump),
		cmocka_unit_test(test_broken_dump),
		cmocka_unit_test(test_live),
		cmocka_unit_test(test_live_with_less),
		cmocka_unit_test(test_live_incoming_in_memory),
		cmocka_unit_test(test_note_of_anything),
		cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
