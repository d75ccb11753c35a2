/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write-seeds DIR: seeds for the fuzzers, made by the encoders, in DIR/abi_NAME (DIR is
 * tests/fuzz/corpus). Run by hand when a fuzzer is added.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/state.h"
#include "base/util.h"
#include "luo/abi/version.h"
#include "tests/abi/fake_kernel.h"
#include "tests/abi/fixture.h"

static void put(const char *dir, const char *fuzzer, const char *name, const void *data,
		size_t size)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/abi_%s", dir, fuzzer);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/abi_%s/%s", dir, fuzzer, name);
	f = fopen(path, "we");
	if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
		perror(path);
}

/* Small, so that a mutation often hits: one session, two files, one FLB. */
static struct abi_kho *small_model(uint32_t luo)
{
	struct abi_kho *kho = fixture_empty(4, luo);
	struct abi_session *session = fixture_add_session(kho, "vm:a");
	struct abi_file *file = fixture_add_file(session, "memfd-v2", 0);

	fixture_add_extent(file, 0, FIXTURE_DATA, 1, 0);
	fixture_add_file(session, "other-v1", 1);
	if (ABI_GROW(kho->luo->flbs, 0) == 0) {
		strcpy(kho->luo->flbs[0].name, "flb-v1");
		kho->luo->flbs[0].count = 1;
		kho->luo->flb_count = 1;
	}
	return kho;
}

static void luo_seeds(const char *dir)
{
	for (uint32_t version = 1; version <= ABI_LUO_VERSION_MAX; version++) {
		_cleanup_kho_ struct abi_kho *kho = small_model(version);
		_cleanup_image_ struct abi_image image = {0};
		char name[32];
		uint64_t pa, size;
		struct fixture f;

		snprintf(name, sizeof(name), "luo-v%u", version);
		if (abi_image_init(&image, FIXTURE_BASE, FIXTURE_CAPACITY, NULL) == 0 &&
		    abi_write_luo(&image, version, kho->luo, &pa, &size, NULL) == 0)
			put(dir, "luo", name, image.data, image.size);
		fixture_open(&f, kho, FIXTURE_CAPACITY);
		put(dir, "kho", name, f.image.data, ABI_PAGE_SIZE);
		if (version >= 4) {
			put(dir, "handover", name, f.image.data, f.image.size);
			put(dir, "scan", name, f.image.data, 4 * ABI_PAGE_SIZE);
			/* Raw memory from 0 on would need a megabyte of nothing in front. */
			put(dir, "dump", name, f.image.data, f.image.size);
		}
		fixture_close(&f);
	}
}

static void radix_seed(const char *dir)
{
	_cleanup_image_ struct abi_image image = {0};
	uint64_t root = 0;

	if (abi_image_init(&image, FIXTURE_BASE, FIXTURE_CAPACITY, NULL) < 0)
		return;
	for (uint32_t order = 0; order < 10; order += 3)
		abi_write_radix(&image, &root, FIXTURE_DATA, order, NULL);
	put(dir, "radix", "orders", image.data, image.size);
}

static void memfd_seeds(const char *dir)
{
	for (uint32_t version = 1; version <= 2; version++) {
		_cleanup_image_ struct abi_image image = {0};
		struct abi_extent extents[] = {{0, FIXTURE_DATA, 3, 0, 3},
					       {3, FIXTURE_DATA + 0x200000, 2, 9, 3}};
		struct abi_memfd memfd = {.version = version,
					  .size = (3 + 1024) * 4096,
					  .extents = extents,
					  .extent_count = 2};
		char buf[1 + 16 * ABI_PAGE_SIZE] = {(char)(version & 1)};
		uint64_t pa;

		if (abi_image_init(&image, FIXTURE_BASE, FIXTURE_CAPACITY, NULL) < 0 ||
		    abi_write_memfd(&image, &memfd, &pa, NULL) < 0 || image.size > sizeof(buf) - 1)
			continue;
		memcpy(buf + 1, image.data, image.size);
		put(dir, "memfd", version == 1 ? "v1" : "v2", buf, 1 + image.size);
	}
}

static void kernel_seeds(const char *dir)
{
	static const char *const all[] = {"gzip", "xz", "zstd", "bzip2", "lzma", "lz4"};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct fake_kernel fake = {.compression = all[i], .small = true};
		size_t size;
		uint8_t *data = fake_kernel_make(&fake, &size);

		put(dir, "bzimage", all[i], data, size);
		free(data);
	}
	put(dir, "cmdline", "all", "kho=on liveupdate=1 kho-scratch=\"1 2\" -- kho=0", 47);
}

static void state_seed(const char *dir)
{
	struct state_writer *w = NULL;
	const void *blob;
	size_t size;

	if (state_writer_new(65536, &w, NULL) < 0)
		return;
	state_begin(w, "uart@3f8");
	state_put_string(w, "compatible", "holdfast,uart");
	state_put_u32(w, "version", 1);
	state_put_u64(w, "base", 0x3f8);
	state_put_bytes(w, "fifo", "\1\2\3", 3);
	state_end(w);
	if (state_writer_finish(w, &blob, &size, NULL) == 0)
		put(dir, "state", "uart", blob, size);
	state_writer_free(w);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "Usage: write-seeds DIR\n");
		return 64;
	}
	luo_seeds(argv[1]);
	radix_seed(argv[1]);
	memfd_seeds(argv[1]);
	kernel_seeds(argv[1]);
	state_seed(argv[1]);
	return 0;
}
