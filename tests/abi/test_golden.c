/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The golden blobs of every version: byte for byte what the documents say (built here by hand),
 * what the encoder writes today, and readable by the decoder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "tests/abi/fixture.h"
#include "tests/abi/golden.h"
#include "tests/abi/spec.h"

#define BASE UINT64_C(0x100000)
#define DATA UINT64_C(0x40000000)

static size_t load(const char *name, uint8_t *buf, size_t size)
{
	char path[4096];
	size_t got;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", getenv("HOLDFAST_GOLDEN"), name);
	f = fopen(path, "re");
	if (!f)
		fail_msg("%s: cannot open", path);
	got = fread(buf, 1, size, f);
	fclose(f);
	return got;
}

/* A list of folios in one page, behind one chunk. */
static void expect_folios(struct spec *s, uint64_t vmalloc, const uint64_t (*folios)[2],
			  size_t count)
{
	uint64_t chunk = spec_pages(s, 1), list = spec_pages(s, 1);

	spec_u64(s, vmalloc + SPEC_VMALLOC_FIRST, chunk);
	spec_u32(s, vmalloc + SPEC_VMALLOC_PAGES, 1);
	spec_u16(s, vmalloc + SPEC_VMALLOC_FLAGS, 1);
	spec_u16(s, vmalloc + SPEC_VMALLOC_ORDER, 0);
	spec_u64(s, chunk + SPEC_CHUNK_NEXT, 0);
	spec_u64(s, chunk + SPEC_CHUNK_PHYS, list);
	for (size_t i = 0; i < count; i++) {
		/* pfn:52, flags:12 = DIRTY | UPTODATE */
		spec_u64(s, list + i * SPEC_FOLIO_SIZE,
			 folios[i][0] / SPEC_PAGE | UINT64_C(3) << 52);
		spec_u64(s, list + i * SPEC_FOLIO_SIZE + SPEC_FOLIO_INDEX, folios[i][1]);
	}
}

static uint64_t expect_memfd(struct spec *s, uint32_t version, uint64_t pos, uint64_t size,
			     uint32_t seals, const uint64_t (*folios)[2], size_t count)
{
	uint64_t pa = spec_pages(s, 1);

	spec_u64(s, pa + SPEC_MEMFD_POS, pos);
	spec_u64(s, pa + SPEC_MEMFD_SIZE, size);
	if (version == 1) {
		spec_u64(s, pa + SPEC_MEMFD1_NR_FOLIOS, count);
		expect_folios(s, pa + SPEC_MEMFD1_FOLIOS, folios, count);
	} else {
		spec_u32(s, pa + SPEC_MEMFD2_SEALS, seals);
		spec_u32(s, pa + SPEC_MEMFD2_FLAGS, 0);
		spec_u64(s, pa + SPEC_MEMFD2_NR_FOLIOS, count);
		expect_folios(s, pa + SPEC_MEMFD2_FOLIOS, folios, count);
	}
	return pa;
}

static void expect_file(struct spec *s, uint64_t pa, const char *compatible, uint64_t data,
			uint64_t token)
{
	spec_text(s, pa + SPEC_FILE_COMPATIBLE, compatible);
	spec_u64(s, pa + SPEC_FILE_DATA, data);
	spec_u64(s, pa + SPEC_FILE_TOKEN, token);
}

/* Where the entries of a list begin, and its head with the count. */
static uint64_t expect_files(struct spec *s, uint32_t luo, uint64_t session, uint64_t count)
{
	uint64_t pa = spec_pages(s, luo == 5 ? 1 : 2);

	spec_u64(s, session + SPEC_SESSION_FILES, pa);
	spec_u64(s, session + SPEC_SESSION_COUNT, count);
	if (luo != 5)
		return pa;
	spec_u64(s, pa + SPEC_BLOCK_NEXT, 0);
	spec_u64(s, pa + SPEC_BLOCK_COUNT, count);
	return pa + SPEC_BLOCK_ENTRIES;
}

static uint64_t expect_sessions(struct spec *s, const struct golden *g)
{
	static const uint64_t state[][2] = {{DATA + 0x5000, 0}, {DATA + 0x9000, 1}};
	static const uint64_t ram[][2] = {
		{DATA + 0x400000, 0}, {DATA + 0x600000, 512}, {DATA + 0x100000, 1024}};
	static const uint64_t registry[][2] = {{DATA + 0xa000, 0}};
	bool chain = g->luo >= 4;
	uint64_t list = spec_pages(s, chain ? 1 : 16), session, files;
	const char *memfd = g->memfd == 1 ? "memfd-v1" : "memfd-v2";

	spec_u64(s, list + (chain ? SPEC_BLOCK_COUNT : SPEC_SESSION_COUNT_V1), 2);
	session = list + (chain ? SPEC_BLOCK_ENTRIES : SPEC_SESSIONS_V1);
	spec_text(s, session + SPEC_SESSION_NAME, "vm:web1");
	files = expect_files(s, g->luo, session, 3);
	expect_file(s, files, memfd, expect_memfd(s, g->memfd, 4242, 2 * 4096 - 100, 0, state, 2),
		    0);
	expect_file(s, files + SPEC_FILE_SIZE, memfd,
		    expect_memfd(s, g->memfd, 0, 5 << 20, 6, ram, 3), 0x100);
	expect_file(s, files + 2 * SPEC_FILE_SIZE, "vfio-pci-v1", UINT64_C(0x1122334455667788),
		    0x300);
	session += SPEC_SESSION_SIZE;
	spec_text(s, session + SPEC_SESSION_NAME, "luod");
	files = expect_files(s, g->luo, session, 1);
	expect_file(s, files, memfd, expect_memfd(s, g->memfd, 0, 4096, 0, registry, 1), 0);
	return list;
}

static uint64_t expect_flbs(struct spec *s)
{
	uint64_t pa = spec_pages(s, 1);

	spec_u64(s, pa + SPEC_FLB_PGCNT, 1);
	spec_u64(s, pa + SPEC_FLB_COUNT, 1);
	spec_text(s, pa + SPEC_FLBS + SPEC_FLB_NAME, "test-flb-v1");
	spec_u64(s, pa + SPEC_FLBS + SPEC_FLB_DATA, UINT64_C(0xabcdef0102030405));
	spec_u64(s, pa + SPEC_FLBS + SPEC_FLB_USERS, 3);
	return pa;
}

/* Returns the blob's size. */
static size_t expect_luo(struct spec *s, const struct golden *g, uint64_t root)
{
	uint64_t sessions = expect_sessions(s, g), flbs = expect_flbs(s), header;
	struct spec_tree t = {0};

	if (g->luo >= 3) {
		spec_text(s, root + SPEC_LUO_COMPATIBLE,
			  g->luo == 3	? "luo-v3"
			  : g->luo == 4 ? "luo-v4"
					: "luo-v5");
		spec_u64(s, root + SPEC_LUO_NUMBER, 7);
		spec_u64(s, root + SPEC_LUO_SESSIONS, sessions);
		spec_u64(s, root + SPEC_LUO_FLBS, flbs);
		return SPEC_LUO_SIZE;
	}
	spec_begin(&t, "");
	if (g->luo == 2) {
		header = spec_pages(s, 1);
		spec_u64(s, header + SPEC_HEADER_NUMBER, 7);
		spec_u64(s, header + SPEC_HEADER_SESSIONS, sessions);
		spec_u64(s, header + SPEC_HEADER_FLBS, flbs);
		spec_prop_text(&t, "compatible", "luo-v2");
		spec_prop_u64(&t, "luo-abi-header", header);
	} else {
		spec_prop_text(&t, "compatible", "luo-v1");
		spec_prop_u64(&t, "liveupdate-number", 7);
		spec_begin(&t, "luo-session");
		spec_prop_text(&t, "compatible", "luo-session-v2");
		spec_prop_u64(&t, "luo-session-header", sessions);
		spec_end(&t);
		spec_begin(&t, "luo-flb");
		spec_prop_text(&t, "compatible", "luo-flb-v1");
		spec_prop_u64(&t, "luo-flb-header", flbs);
		spec_end(&t);
	}
	spec_end(&t);
	return spec_finish(s, &t, root);
}

static void expect_entry(struct spec_tree *t, uint32_t kho, const char *name, uint64_t pa,
			 size_t size)
{
	spec_begin(t, name);
	spec_prop_u64(t, kho == 1 ? "fdt" : "preserved-data", pa);
	if (kho >= 3)
		spec_prop_u64(t, "blob-size", size);
	spec_end(t);
}

static uint64_t expect_preserved(struct spec *s, const struct golden *g)
{
	uint64_t last = s->next, root = spec_pages(s, 1);

	/* In the order in which the encoder makes nodes: its own pages, then those of the files. */
	for (uint64_t pa = BASE; pa < last;) {
		bool sessions = g->luo < 4 && pa == BASE + 0x10000;
		bool files = g->luo < 5 && (pa == BASE + (g->luo < 4 ? 0x20000 : 0x4000) ||
					    pa == BASE + (g->luo < 4 ? 0x28000 : 0xc000));
		/* The gap in front of the sixteen aligned pages, or of two. */
		bool gap = g->luo < 4 && pa < BASE + 0x10000 &&
			   pa >= BASE + (g->kho >= 3 ? 0x3000 : 0x2000);

		if (!gap)
			spec_preserve(s, root, pa, sessions ? 4 : files ? 1 : 0);
		pa += sessions ? 0x10000 : files ? 0x2000 : 0x1000;
	}
	spec_preserve(s, root, DATA + 0x5000, 0);
	spec_preserve(s, root, DATA + 0x9000, 0);
	spec_preserve(s, root, DATA + 0x400000, 9);
	spec_preserve(s, root, DATA + 0x600000, 9);
	spec_preserve(s, root, DATA + 0x100000, 8);
	spec_preserve(s, root, DATA + 0xa000, 0);
	return root;
}

static void expect_all(struct spec *s, const struct golden *g)
{
	uint64_t fdt = spec_pages(s, 1), metadata = 0, luo, map = 0;
	struct spec_tree t = {0};
	size_t size;

	if (g->kho >= 3) {
		metadata = spec_pages(s, 1);
		spec_u32(s, metadata + SPEC_META_VERSION, 1);
		spec_text(s, metadata + SPEC_META_RELEASE, "7.2.12-holdfast");
		spec_u32(s, metadata + SPEC_META_COUNT, 6);
	}
	luo = spec_pages(s, 1);
	size = expect_luo(s, g, luo);
	if (g->kho >= 2)
		map = expect_preserved(s, g);
	spec_begin(&t, "");
	spec_prop_text(&t, "compatible",
		       (const char *[]){"kho-v1", "kho-v2", "kho-v3", "kho-v4"}[g->kho - 1]);
	spec_prop_u64(&t, "preserved-memory-map", map);
	expect_entry(&t, g->kho, "LUO", luo, size);
	if (g->kho >= 3)
		expect_entry(&t, g->kho, "kexec-metadata", metadata, SPEC_META_SIZE);
	spec_end(&t);
	spec_finish(s, &t, fdt);
}

static void compare(const char *name, const uint8_t *a, const uint8_t *b, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (a[i] != b[i])
			fail_msg("%s: byte 0x%zx (address 0x%zx) is %02x, expected %02x", name, i,
				 (size_t)BASE + i, a[i], b[i]);
}

static void test_bytes_are_those_of_the_documents(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(golden_blobs); i++) {
		const struct golden *g = &golden_blobs[i];
		_cleanup_free_ uint8_t *blob = calloc(1, FIXTURE_CAPACITY);
		_cleanup_free_ uint8_t *expected = calloc(1, FIXTURE_CAPACITY);
		struct spec s = {
			.bytes = expected, .size = FIXTURE_CAPACITY, .base = BASE, .next = BASE};
		size_t size = load(g->file, blob, FIXTURE_CAPACITY);

		expect_all(&s, g);
		compare(g->file, blob, expected, MIN_OF(size, s.next - BASE));
		assert_int_equal(size, s.next - BASE);
	}
}

static void test_encoder_still_writes_them(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(golden_blobs); i++) {
		const struct golden *g = &golden_blobs[i];
		_cleanup_kho_ struct abi_kho *kho = fixture_model(g->kho, g->luo, g->memfd);
		_cleanup_free_ uint8_t *blob = calloc(1, FIXTURE_CAPACITY);
		size_t size = load(g->file, blob, FIXTURE_CAPACITY);
		struct fixture f;

		fixture_open(&f, kho, FIXTURE_CAPACITY);
		assert_int_equal(size, f.image.size);
		compare(g->file, f.image.data, blob, size);
		fixture_close(&f);
	}
}

static void check_memfd(const struct abi_file *file, const struct golden *g)
{
	const struct abi_memfd *m = file->memfd;

	assert_non_null(m);
	assert_int_equal(m->version, g->memfd);
	assert_int_equal(m->size, 5 << 20);
	assert_int_equal(m->seals, g->memfd == 1 ? 0 : 6);
	assert_int_equal(m->folios, 3);
	assert_int_equal(m->pages, 1280);
	assert_int_equal(m->folios_not_preserved, 0);
	assert_int_equal(m->folios_by_order[9], 2);
	assert_int_equal(m->folios_by_order[8], 1);
	assert_int_equal(m->extent_count, 2);
	assert_int_equal(m->extents[0].pa, DATA + 0x400000);
	assert_int_equal(m->extents[0].folios, 2);
	assert_int_equal(m->extents[0].order, 9);
	assert_int_equal(m->extents[1].pa, DATA + 0x100000);
	assert_int_equal(m->extents[1].index, 1024);
	assert_int_equal(m->extents[1].order, 8);
}

static void check_model(const struct abi_kho *kho, const struct golden *g)
{
	const struct abi_luo *luo = kho->luo;

	assert_int_equal(kho->version, g->kho);
	assert_int_equal(luo->version, g->luo);
	assert_int_equal(luo->liveupdate_number, 7);
	assert_true(luo->has_sessions);
	assert_int_equal(luo->session_count, 2);
	assert_string_equal(luo->sessions[0].name, "vm:web1");
	assert_string_equal(luo->sessions[1].name, "luod");
	assert_int_equal(luo->sessions[0].file_count, 3);
	assert_int_equal(luo->sessions[0].files[0].memfd->pos, 4242);
	assert_int_equal(luo->sessions[0].files[0].memfd->extent_count, 2);
	check_memfd(&luo->sessions[0].files[1], g);
	assert_int_equal(luo->sessions[0].files[1].token, 0x100);
	assert_null(luo->sessions[0].files[2].memfd);
	assert_string_equal(luo->sessions[0].files[2].compatible, "vfio-pci-v1");
	assert_int_equal(luo->sessions[0].files[2].data, UINT64_C(0x1122334455667788));
	assert_int_equal(luo->sessions[1].file_count, 1);
	assert_int_equal(luo->flb_count, 1);
	assert_string_equal(luo->flbs[0].name, "test-flb-v1");
	assert_int_equal(luo->flbs[0].count, 3);
	assert_int_equal(kho->has_metadata, g->kho >= 3);
	if (g->kho >= 2) {
		assert_int_equal(kho->preserved->folios_by_order[9], 2);
		assert_int_equal(kho->preserved->folios_by_order[8], 1);
	}
}

static void test_decoder_reads_them(void **state _unused_)
{
	for (size_t i = 0; i < ARRAY_SIZE(golden_blobs); i++) {
		_cleanup_free_ uint8_t *blob = calloc(1, FIXTURE_CAPACITY);
		size_t size = load(golden_blobs[i].file, blob, FIXTURE_CAPACITY);
		_cleanup_physmem_ struct physmem *mem = fixture_memory(blob, size);
		_cleanup_kho_ struct abi_kho *kho = NULL;
		struct error err = ERROR_INIT;

		if (fixture_read(mem, BASE, &kho, &err) < 0)
			fail_msg("%s: %s", golden_blobs[i].file, error_message(&err));
		check_model(kho, &golden_blobs[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_are_those_of_the_documents),
		cmocka_unit_test(test_encoder_still_writes_them),
		cmocka_unit_test(test_decoder_reads_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
