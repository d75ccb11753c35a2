/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/guest_memory: layout, fresh memory, and every edge of the one pointer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/util.h"
#include "tests/unit/guest_ram_test.h"

#define TIB (1024 * GIB)

/* ---- Layout. ---- */

static void check_layout(uint64_t size, unsigned int count)
{
	struct guest_memory_layout layout;
	uint64_t total = 0, next = 0;

	assert_int_equal(guest_memory_layout(size, NULL, &layout, NULL), 0);
	assert_int_equal(layout.count, count);
	for (unsigned int i = 0; i < layout.count; i++) {
		uint64_t gpa = layout.regions[i].gpa, len = layout.regions[i].size;

		assert_true(len > 0 && len < TIB);
		assert_int_equal(gpa % (2 * MIB), 0);
		assert_int_equal(len % (2 * MIB), 0);
		assert_true(gpa >= next);
		assert_true(gpa + len <= 0xc0000000ULL || gpa >= 0x100000000ULL);
		next = gpa + len;
		total += len;
	}
	assert_int_equal(total, size);
	assert_int_equal(layout.regions[0].gpa, 0);
	if (count > 1)
		assert_int_equal(layout.regions[1].gpa, 4 * GIB);
}

static void test_layout(void **state _unused_)
{
	check_layout(32 * MIB, 1);
	check_layout(512 * MIB, 1);
	check_layout(3 * GIB - 2 * MIB, 1);
	check_layout(3 * GIB, 1);
	check_layout(3 * GIB + 2 * MIB, 2);
	check_layout(4 * GIB, 2);
	check_layout(5 * GIB, 2);
	check_layout(515 * GIB, 2);
	check_layout(515 * GIB + 2 * MIB, 3);
	check_layout(1 * TIB, 3);
	check_layout(2 * TIB, 5);
	check_layout(4 * TIB, 9);
	for (uint64_t size = 32 * MIB; size <= 4 * TIB; size *= 2) {
		uint64_t high = size > 3 * GIB ? size - 3 * GIB : 0;

		check_layout(size, (unsigned int)(1 + (high + 512 * GIB - 1) / (512 * GIB)));
	}
}

static void test_layout_refuses(void **state _unused_)
{
	static const uint64_t sizes[] = {
		0,
		1,
		32 * MIB - 1,
		32 * MIB - 2 * MIB,
		32 * MIB + 1,
		33 * MIB,
		5 * GIB + 4096,
		4 * TIB + 2 * MIB,
		UINT64_MAX,
		UINT64_MAX - 2 * MIB + 1,
	};
	struct guest_memory_layout layout;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct error err = ERROR_INIT;
		struct guest_ram *ram = NULL;

		assert_int_equal(guest_memory_layout(sizes[i], NULL, &layout, &err), -EINVAL);
		assert_non_null(strstr(err.message, "2 MiB"));
		assert_int_equal(guest_ram_create(sizes[i], NULL, &ram, NULL), -EINVAL);
		assert_null(ram);
	}
}

/* ---- Fresh memory. ---- */

static void test_create(void **state _unused_)
{
	struct guest_ram *ram = guest_ram_test_create(5 * GIB);

	assert_int_equal(guest_ram_size(ram), 5 * GIB);
	assert_int_equal(guest_ram_region_count(ram), 2);
	assert_null(guest_ram_region(ram, 2));
	for (unsigned int i = 0; i < 2; i++) {
		const struct guest_memory_region *region = guest_ram_region(ram, i);
		char path[64], name[128] = "";
		struct stat st;

		assert_int_equal((uintptr_t)region->hva % (2 * MIB), 0);
		assert_int_equal(fstat(region->fd, &st), 0);
		assert_int_equal(st.st_size, region->size);
		/* The two facts that decide whether the memory is writable after a live update. */
		assert_int_equal(st.st_mode & 0111, 0111);
		assert_int_equal(fcntl(region->fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
		assert_int_equal(fcntl(region->fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		assert_int_equal(ftruncate(region->fd, 4096), -1);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", region->fd);
		assert_true(readlink(path, name, sizeof(name) - 1) > 0);
		snprintf(path, sizeof(path), "/memfd:holdfast-ram-%u", i);
		assert_memory_equal(name, path, strlen(path));
	}
	guest_ram_free(ram);
	guest_ram_free(NULL);
}

/* The mapping's flags as the kernel reports them: no core dumps, shared, huge pages. */
static void test_mapping_flags(void **state _unused_)
{
	struct guest_ram *ram = guest_ram_test_create(32 * MIB);
	FILE *smaps = fopen("/proc/self/smaps", "re");
	char line[512], start[32];
	bool inside = false, seen = false;

	assert_non_null(smaps);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)guest_ram_region(ram, 0)->hva);
	while (fgets(line, sizeof(line), smaps)) {
		if (strncmp(line, start, strlen(start)) == 0)
			inside = true;
		if (inside && strncmp(line, "VmFlags:", 8) == 0) {
			assert_non_null(strstr(line, " dd")); /* MADV_DONTDUMP */
			assert_non_null(strstr(line, " sh"));
			if (access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0)
				assert_non_null(strstr(line, " hg")); /* MADV_HUGEPAGE */
			seen = true;
			break;
		}
	}
	assert_true(seen);
	fclose(smaps);
	guest_ram_free(ram);
}

/* ---- The pointer. ---- */

static void check_edges(const struct guest_ram *ram, uint64_t start, uint64_t end)
{
	const uint8_t *first = guest_ram_ptr(ram, start, 1);
	uint64_t size = end - start;

	assert_non_null(first);
	assert_ptr_equal(guest_ram_ptr(ram, start, size), first);
	assert_ptr_equal(guest_ram_ptr(ram, end - 1, 1), first + size - 1);
	assert_ptr_equal(guest_ram_ptr(ram, start + 1, size - 1), first + 1);
	assert_null(guest_ram_ptr(ram, start, size + 1));
	assert_null(guest_ram_ptr(ram, end - 1, 2));
	assert_null(guest_ram_ptr(ram, end, 1));
	assert_null(guest_ram_ptr(ram, start, 0));
	assert_null(guest_ram_ptr(ram, end, 0));
	/* Lengths and addresses whose sum wraps. */
	assert_null(guest_ram_ptr(ram, start, UINT64_MAX));
	assert_null(guest_ram_ptr(ram, end - 1, UINT64_MAX));
	assert_null(guest_ram_ptr(ram, start + 1, UINT64_MAX - start));
	assert_null(guest_ram_ptr(ram, UINT64_MAX, 2));
	assert_null(guest_ram_ptr(ram, UINT64_MAX, 1));
	if (start > 0) {
		assert_null(guest_ram_ptr(ram, start - 1, 1));
		assert_null(guest_ram_ptr(ram, start - 1, 2));
		assert_null(guest_ram_ptr(ram, start - 1, UINT64_MAX - start + 2));
	}
}

static void test_ptr(void **state _unused_)
{
	struct guest_ram *ram = guest_ram_test_create(64 * MIB);

	check_edges(ram, 0, 64 * MIB);
	guest_ram_free(ram);

	ram = guest_ram_test_create(5 * GIB);
	check_edges(ram, 0, 3 * GIB);
	check_edges(ram, 4 * GIB, 6 * GIB);
	assert_null(guest_ram_ptr(ram, 3 * GIB - 1, GIB + 2)); /* across the hole */
	assert_null(guest_ram_ptr(ram, 0, 5 * GIB));
	assert_null(guest_ram_ptr(ram, 3 * GIB + GIB / 2, 1)); /* inside it */
	guest_ram_free(ram);
}

/* Two memfds that touch in the guest are one piece: a buffer may lie across their border. */
static void test_ptr_across_regions(void **state _unused_)
{
	struct guest_ram *ram = guest_ram_test_create(516 * GIB);
	const struct guest_memory_region *last = guest_ram_region(ram, 2);
	uint64_t border = 516 * GIB, in = 0x1122334455667788ULL, out = 0;

	assert_int_equal(last->gpa, border);
	check_edges(ram, 4 * GIB, 517 * GIB);
	assert_non_null(guest_ram_ptr(ram, border - 1, 2));
	assert_ptr_equal(guest_ram_ptr(ram, border, 1), last->hva);
	assert_int_equal(guest_ram_write(ram, border - 3, &in, sizeof(in)), 0);
	assert_int_equal(guest_ram_read(ram, border - 3, &out, sizeof(out)), 0);
	assert_int_equal(out, in);
	/* Each half is in its own memfd. */
	assert_int_equal(pread(last->fd, &out, 5, 0), 5);
	assert_memory_equal(&out, (uint8_t *)&in + 3, 5);
	guest_ram_free(ram);
}

static void test_copies_and_view(void **state _unused_)
{
	struct guest_ram *ram = guest_ram_test_create(32 * MIB);
	struct guest_memory view = guest_ram_view(ram);
	uint8_t in[16] = "fifteen letters", out[16] = {0};

	assert_int_equal(guest_ram_write(ram, 32 * MIB - 16, in, 16), 0);
	assert_int_equal(guest_ram_read(ram, 32 * MIB - 16, out, 16), 0);
	assert_memory_equal(in, out, 16);
	assert_int_equal(guest_ram_write(ram, 32 * MIB - 15, in, 16), -EFAULT);
	assert_int_equal(guest_ram_read(ram, 32 * MIB - 15, out, 16), -EFAULT);
	assert_int_equal(guest_ram_read(ram, UINT64_MAX - 7, out, 16), -EFAULT);
	assert_int_equal(guest_ram_write(ram, 32 * MIB, in, 0), 0);
	assert_int_equal(guest_ram_read(ram, 0, out, 16), 0);
	assert_memory_equal(out, ((uint8_t[16]){0}), 16);

	assert_ptr_equal(view.ptr(view.opaque, 4096, 1), guest_ram_ptr(ram, 4096, 1));
	assert_null(view.ptr(view.opaque, 32 * MIB, 1));
	guest_ram_free(ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_layout_refuses),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_mapping_flags),
		cmocka_unit_test(test_ptr),
		cmocka_unit_test(test_ptr_across_regions),
		cmocka_unit_test(test_copies_and_view),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
