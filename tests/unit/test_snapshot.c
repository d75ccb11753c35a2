/* SPDX-License-Identifier: Apache-2.0 */
/* A guest in a file (docs/state-format.md, "Snapshots"): what is written comes back, and what is
 * damaged does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/new_file.h"
#include "base/util.h"
#include "vmm/update/snapshot_file.h"

#define SPEC_HEADER 16384
#define SPEC_PAGE   4096
#define RAM_SIZE    (8 * MIB)
#define STATE_SIZE  8192

static struct {
	char folder[64], path[96];
	int fd, state, ram;
} t;

static void fill(int fd, off_t at, char byte, size_t size)
{
	char page[SPEC_PAGE];

	memset(page, byte, sizeof(page));
	for (size_t i = 0; i < size; i += sizeof(page))
		assert_int_equal(pwrite(fd, page, sizeof(page), at + (off_t)i), sizeof(page));
}

static int set_up(void **state _unused_)
{
	strcpy(t.folder, "/var/tmp/holdfast-test-XXXXXX");
	assert_non_null(mkdtemp(t.folder));
	snprintf(t.path, sizeof(t.path), "%s/file", t.folder);
	t.fd = open(t.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	t.state = memfd_create("state", MFD_CLOEXEC);
	t.ram = memfd_create("ram", MFD_CLOEXEC);
	assert_true(t.fd >= 0 && t.state >= 0 && t.ram >= 0);
	assert_int_equal(ftruncate(t.state, STATE_SIZE), 0);
	assert_int_equal(ftruncate(t.ram, RAM_SIZE), 0);
	fill(t.state, 0, 's', STATE_SIZE);
	/* The first page, some across the border of a MiB, and the last one; zeroes that are there.
	 */
	fill(t.ram, 0, 'a', SPEC_PAGE);
	fill(t.ram, MIB - SPEC_PAGE, 'b', 3 * SPEC_PAGE);
	fill(t.ram, RAM_SIZE - SPEC_PAGE, 'c', SPEC_PAGE);
	fill(t.ram, 4 * MIB, '\0', MIB);
	return 0;
}

static int tear_down(void **state _unused_)
{
	close(t.fd);
	close(t.state);
	close(t.ram);
	unlink(t.path);
	return rmdir(t.folder);
}

static int write_it(struct error *err)
{
	const struct source_entry entries[] = {{TOKEN_RAM_FIRST, t.ram}, {TOKEN_VM_STATE, t.state}};

	return snapshot_write(t.fd, "web1", entries, ARRAY_SIZE(entries), err);
}

static void assert_same(int a, int b, size_t size)
{
	char one[SPEC_PAGE], other[SPEC_PAGE];
	struct stat st;

	assert_int_equal(fstat(b, &st), 0);
	assert_int_equal(st.st_size, size);
	for (size_t i = 0; i < size; i += SPEC_PAGE) {
		assert_int_equal(pread(a, one, SPEC_PAGE, (off_t)i), SPEC_PAGE);
		assert_int_equal(pread(b, other, SPEC_PAGE, (off_t)i), SPEC_PAGE);
		assert_memory_equal(one, other, SPEC_PAGE);
	}
}

static uint64_t blocks(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void test_comes_back(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct snapshot snapshot;
	int fd;

	assert_int_equal(write_it(&err), 0);
	assert_int_equal(snapshot_read(t.fd, &snapshot, &err), 0);
	assert_string_equal(snapshot.id, "web1");
	assert_int_equal(snapshot.count, 2);
	assert_int_equal(snapshot_read_part(t.fd, &snapshot, TOKEN_RAM_FIRST, &fd, &err), 0);
	assert_same(t.ram, fd, RAM_SIZE);
	/* What the guest never touched is not there afterwards either. */
	assert_true(blocks(fd) <= 8 * SPEC_PAGE);
	/* As memory that a live update can take along. */
	assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
	close(fd);
	assert_int_equal(snapshot_read_part(t.fd, &snapshot, TOKEN_VM_STATE, &fd, &err), 0);
	assert_same(t.state, fd, STATE_SIZE);
	close(fd);
	assert_int_equal(snapshot_read_part(t.fd, &snapshot, TOKEN_IOMMUFD, &fd, &err), -ENOENT);
}

static void test_holes_are_kept(void **state _unused_)
{
	struct error err = ERROR_INIT;

	assert_int_equal(write_it(&err), 0);
	assert_true(blocks(t.fd) < MIB);
}

/* However the file is copied: the same bytes without holes are the same snapshot. */
static void test_without_holes(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct snapshot snapshot;
	char page[SPEC_PAGE];
	struct stat st;
	int fd;

	assert_int_equal(write_it(&err), 0);
	assert_int_equal(fstat(t.fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at += SPEC_PAGE) {
		assert_int_equal(pread(t.fd, page, SPEC_PAGE, at), SPEC_PAGE);
		assert_int_equal(pwrite(t.fd, page, SPEC_PAGE, at), SPEC_PAGE);
	}
	assert_int_equal(snapshot_read(t.fd, &snapshot, &err), 0);
	assert_int_equal(snapshot_read_part(t.fd, &snapshot, TOKEN_RAM_FIRST, &fd, &err), 0);
	assert_same(t.ram, fd, RAM_SIZE);
	close(fd);
}

static void test_unfinished(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct snapshot snapshot;

	assert_int_equal(snapshot_read(t.fd, &snapshot, &err), -ENODATA);
	assert_int_equal(ftruncate(t.fd, RAM_SIZE), 0);
	fill(t.fd, SPEC_HEADER, 'x', MIB);
	assert_int_equal(snapshot_read(t.fd, &snapshot, &err), -ENODATA);
	assert_non_null(strstr(err.message, "nothing was finished"));
}

static void test_cut_off(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct snapshot snapshot;
	struct stat st;

	assert_int_equal(write_it(&err), 0);
	assert_int_equal(fstat(t.fd, &st), 0);
	assert_int_equal(ftruncate(t.fd, st.st_size - 1), 0);
	assert_int_equal(snapshot_read(t.fd, &snapshot, &err), -EBADMSG);
	assert_non_null(strstr(err.message, "cut off"));
	assert_int_equal(ftruncate(t.fd, SPEC_PAGE), 0);
	assert_true(snapshot_read(t.fd, &snapshot, &err) < 0);
}

static void flip(off_t at)
{
	char byte;

	assert_int_equal(pread(t.fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(t.fd, &byte, 1, at), 1);
}

/* Every byte of the header that says something, and any of memory: also one that was zero. */
static void test_damaged(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct snapshot snapshot;
	uint32_t size;
	int fd;

	assert_int_equal(write_it(&err), 0);
	/* Devicetree Specification v0.4, 5.2: totalsize is the second word. */
	assert_int_equal(pread(t.fd, &size, sizeof(size), 4), sizeof(size));
	size = __builtin_bswap32(size);
	for (uint32_t at = 0; at < size; at += 7) {
		flip(at);
		assert_true(snapshot_read(t.fd, &snapshot, &err) < 0);
		flip(at);
	}
	assert_int_equal(snapshot_read(t.fd, &snapshot, &err), 0);
	for (unsigned int i = 0; i < 3; i++) {
		static const off_t places[] = {0, MIB, 2 * MIB};
		off_t at = (off_t)snapshot.parts[0].offset + places[i];

		flip(at);
		assert_int_equal(snapshot_read_part(t.fd, &snapshot, TOKEN_RAM_FIRST, &fd, &err),
				 -EBADMSG);
		assert_non_null(strstr(err.message, "checksum"));
		flip(at);
	}
}

/* A page in another place is other memory. */
static void test_moved_page(void **state _unused_)
{
	struct error err = ERROR_INIT;
	struct snapshot snapshot;
	int fd;

	assert_int_equal(write_it(&err), 0);
	assert_int_equal(snapshot_read(t.fd, &snapshot, &err), 0);
	fill(t.fd, (off_t)snapshot.parts[0].offset, '\0', SPEC_PAGE);
	fill(t.fd, (off_t)snapshot.parts[0].offset + SPEC_PAGE, 'a', SPEC_PAGE);
	assert_int_equal(snapshot_read_part(t.fd, &snapshot, TOKEN_RAM_FIRST, &fd, &err), -EBADMSG);
}

/* No disk has so much room. */
static void test_disk_is_full(void **state _unused_)
{
	struct error err = ERROR_INIT;

	assert_int_equal(new_file_check_room(t.fd, 0, &err), 0);
	assert_int_equal(new_file_check_room(t.fd, INT64_MAX, &err), -ENOSPC);
	assert_non_null(strstr(err.message, "make room"));
}

static void test_file_in_whole_or_not(void **state _unused_)
{
	struct new_file file = NEW_FILE_INIT, other = NEW_FILE_INIT;
	struct error err = ERROR_INIT;
	char path[128], text[4] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/new", t.folder);
	assert_int_equal(new_file_create(path, &file, &err), 0);
	assert_int_equal(write(file.fd, "abc", 3), 3);
	assert_int_equal(access(path, F_OK), -1);
	new_file_drop(&file);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(new_file_create(path, &file, &err), 0);
	assert_int_equal(write(file.fd, "abc", 3), 3);
	assert_int_equal(new_file_create(path, &other, &err), 0);
	assert_int_equal(new_file_commit(&file, &err), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, text, 3), 3);
	assert_string_equal(text, "abc");
	close(fd);
	/* What is there is not replaced: it may be all that is left of a guest. */
	assert_int_equal(new_file_commit(&other, &err), -EEXIST);
	new_file_drop(&other);
	assert_int_equal(new_file_create(path, &other, &err), -EEXIST);
	new_file_drop(&file);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	/* A dropped file leaves nothing: the folder can be removed, which tear_down() does. */
	assert_int_equal(new_file_create("/nowhere/file", &file, &err), -ENOENT);
}

int main(void)
{
#define WITH_FILES(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_FILES(test_comes_back),
		WITH_FILES(test_holes_are_kept),
		WITH_FILES(test_without_holes),
		WITH_FILES(test_unfinished),
		WITH_FILES(test_cut_off),
		WITH_FILES(test_damaged),
		WITH_FILES(test_moved_page),
		WITH_FILES(test_disk_is_full),
		WITH_FILES(test_file_in_whole_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
