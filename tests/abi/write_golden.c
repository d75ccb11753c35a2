/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write-golden DIR: writes the golden blobs. Run by hand, when a version is added: a blob of a
 * version that exists never changes.
 */
#include <stdio.h>

#include "base/util.h"
#include "tests/abi/fixture.h"
#include "tests/abi/golden.h"

static int write_one(const char *dir, const struct golden *g)
{
	_cleanup_kho_ struct abi_kho *kho = fixture_model(g->kho, g->luo, g->memfd);
	struct fixture f;
	char path[4096];
	FILE *out;
	size_t written = 0;

	fixture_open(&f, kho, FIXTURE_CAPACITY);
	snprintf(path, sizeof(path), "%s/%s", dir, g->file);
	out = fopen(path, "wxe");
	if (out) {
		written = fwrite(f.image.data, 1, f.image.size, out);
		if (fclose(out) != 0)
			written = 0;
	}
	if (written != f.image.size)
		perror(path);
	else
		printf("%s: %zu bytes\n", path, written);
	fixture_close(&f);
	return out ? 0 : -1;
}

int main(int argc, char **argv)
{
	int failed = 0;

	if (argc != 2) {
		fprintf(stderr, "Usage: write-golden DIR (existing files are kept)\n");
		return 64;
	}
	for (size_t i = 0; i < ARRAY_SIZE(golden_blobs); i++)
		failed |= write_one(argv[1], &golden_blobs[i]);
	return failed ? 1 : 0;
}
