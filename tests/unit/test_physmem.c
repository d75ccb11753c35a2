/* SPDX-License-Identifier: Apache-2.0 */
/* luo/physmem: ranges, dumps made here, what damaged ones say, and /proc/kcore's layout. */
#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/physmem/file.h"

#define PATH "physmem-test.dump"

static void write_file(const void *data, size_t size)
{
	FILE *f = fopen(PATH, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
}

struct dump {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[4];
	uint8_t data[3][4096];
};

/* Page i is full of the byte i + 1. */
static void make_dump(struct dump *d)
{
	static const struct {
		uint64_t vaddr, paddr;
	} where[] = {{0xffff888000100000, 0x100000},
		     {0xffff888000101000, 0x101000},
		     {0xffff888100000000, 0x100000000}};

	memset(d, 0, sizeof(*d));
	memcpy(d->ehdr.e_ident, ELFMAG, SELFMAG);
	d->ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	d->ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	d->ehdr.e_type = ET_CORE;
	d->ehdr.e_phoff = offsetof(struct dump, phdr);
	d->ehdr.e_phentsize = sizeof(Elf64_Phdr);
	d->ehdr.e_phnum = 4;
	d->phdr[0].p_type = PT_NOTE;
	for (size_t i = 0; i < 3; i++) {
		d->phdr[i + 1] = (Elf64_Phdr){.p_type = PT_LOAD,
					      .p_offset = offsetof(struct dump, data[i]),
					      .p_vaddr = where[i].vaddr,
					      .p_paddr = where[i].paddr,
					      .p_filesz = 4096,
					      .p_memsz = 4096};
		memset(d->data[i], (int)i + 1, 4096);
	}
}

static void test_elf(void **state _unused_)
{
	_cleanup_physmem_ struct physmem *mem = NULL;
	struct error err = ERROR_INIT;
	uint8_t buf[16];
	struct dump d;

	make_dump(&d);
	write_file(&d, sizeof(d));
	assert_int_equal(physmem_open(PATH, &mem, &err), 0);
	assert_int_equal(physmem_size(mem), 3 * 4096);
	/* Across two ranges that touch. */
	assert_int_equal(physmem_read(mem, 0x100ff8, buf, 16, &err), 0);
	assert_int_equal(buf[7], 1);
	assert_int_equal(buf[8], 2);
	assert_int_equal(physmem_read(mem, 0x100000000, buf, 16, &err), 0);
	assert_int_equal(buf[0], 3);
	assert_int_equal(physmem_read(mem, 0x101ff8, buf, 16, &err), -EFAULT);
	assert_string_equal(error_message(&err),
			    "address 0x101ff8 (16 bytes) is outside the memory");
	assert_false(physmem_contains(mem, UINT64_MAX, 2));
	assert_false(physmem_contains(mem, 0x100000, UINT64_MAX));
	assert_true(physmem_contains(mem, 0x100000, 0x2000));
}

static void expect_refused(const void *data, size_t size, int code, const char *message)
{
	struct physmem *mem = NULL;
	struct error err = ERROR_INIT;
	int r;

	write_file(data, size);
	r = physmem_open(PATH, &mem, &err);
	if (r != code || strcmp(error_message(&err), message) != 0)
		fail_msg("expected %d \"%s\", got %d \"%s\"", code, message, r,
			 error_message(&err));
}

static void test_damaged_elf(void **state _unused_)
{
	struct dump good, d;

	make_dump(&good);
	expect_refused(&good, sizeof(good) - 1, -EINVAL,
		       PATH ": truncated: segment 2 ends behind the file's 12575 bytes");
	expect_refused(&good, 100, -EIO,
		       PATH ": cannot read the program headers: truncated: Input/output error");
	expect_refused(&good, 40, -EIO, PATH ": cannot read the ELF header: Input/output error");
	d = good;
	d.phdr[2].p_paddr = 0x100800;
	expect_refused(&d, sizeof(d), -EINVAL,
		       PATH ": two ranges overlap at 0x100800: the file is damaged");
	d = good;
	d.phdr[3].p_paddr = UINT64_MAX - 100;
	expect_refused(&d, sizeof(d), -EINVAL,
		       PATH ": the range at 0xffffffffffffff9b (0x1000 bytes) passes the end of "
			    "the address space");
	d = good;
	d.ehdr.e_type = ET_EXEC;
	expect_refused(&d, sizeof(d), -ENOEXEC,
		       PATH ": not a 64-bit little-endian ELF core: dump the host's memory with "
			    "dump-guest-memory or makedumpfile -E");
	d = good;
	d.ehdr.e_phentsize = 32;
	expect_refused(&d, sizeof(d), -ENOEXEC, PATH ": program headers of 32 bytes");
	d = good;
	d.ehdr.e_phnum = PN_XNUM;
	d.ehdr.e_shoff = offsetof(struct dump, data[2]);
	expect_refused(&d, sizeof(d), -EINVAL, PATH ": 50529027 segments: the file is damaged");
}

static void test_other_files(void **state _unused_)
{
	_cleanup_physmem_ struct physmem *mem = NULL;
	struct error err = ERROR_INIT;
	uint8_t raw[8192] = {0};

	raw[4096] = 7;
	write_file(raw, sizeof(raw));
	assert_int_equal(physmem_open(PATH, &mem, &err), 0);
	assert_int_equal(physmem_read(mem, 4096, raw, 1, &err), 0);
	assert_int_equal(raw[0], 7);
	memcpy(raw, "KDUMP   ", 8);
	expect_refused(raw, sizeof(raw), -ENOEXEC,
		       "dump " PATH
		       ": a compressed kdump, which is not read here: write an ELF core "
		       "(makedumpfile -E -d 0, or QEMU's dump-guest-memory)");
	expect_refused(raw, 3, -EINVAL, "dump " PATH ": too short to be a dump");
	unlink(PATH);
	assert_int_equal(physmem_open(PATH, &mem, &err), -ENOENT);
	assert_string_equal(error_message(&err),
			    "dump " PATH ": cannot open: No such file or directory");
	assert_int_equal(physmem_open("/", &mem, &err), -EINVAL);
}

/* As /proc/kcore: the image's mapping and the vmalloc area are no direct map. */
static void test_kcore(void **state _unused_)
{
	_cleanup_physmem_ struct physmem *mem = NULL;
	struct error err = ERROR_INIT;
	struct dump d;

	make_dump(&d);
	d.phdr[1].p_vaddr = 0xffffffff81000000; /* the same RAM as the next one */
	d.phdr[1].p_paddr = 0x101000;
	d.phdr[3].p_paddr = UINT64_MAX;
	write_file(&d, sizeof(d));
	assert_int_equal(physmem_open_kcore(PATH, &mem, &err), 0);
	assert_int_equal(mem->range_count, 1);
	assert_int_equal(mem->ranges[0].start, 0x101000);
	physmem_free(mem);
	mem = NULL;
	d.phdr[2].p_paddr = UINT64_MAX;
	write_file(&d, sizeof(d));
	assert_int_equal(physmem_open_kcore(PATH, &mem, &err), -ENODATA);
	unlink(PATH);
}

/* As /proc/iomem: other ranges are left out, and a page that is RAM in part is left out.
 */
static void test_iomem(void **state _unused_)
{
	static const char iomem[] = "00000000-00000fff : Reserved\n"
				    "00001000-0009fbff : System RAM\n"
				    "0009fc00-0009ffff : Reserved\n"
				    "00100400-3ffdefff : System RAM\n"
				    "  01000000-01ffffff : Kernel code\n"
				    "  02000000-02ffffff : Kernel rodata\n"
				    "40000100-40000fff : System RAM\n"
				    "100000000-1ffffffff : System RAM\n"
				    "ffffffff00000000-ffffffffffffffff : System RAM\n";
	static const char hidden[] = "00000000-00000000 : System RAM\n";
	struct physmem_piece pieces[8];
	struct error err = ERROR_INIT;
	size_t count;

	write_file(iomem, sizeof(iomem) - 1);
	assert_int_equal(physmem_read_iomem(PATH, "System RAM", pieces, 8, &count, &err), 0);
	assert_int_equal(count, 3);
	assert_int_equal(pieces[0].range.start, 0x1000);
	assert_int_equal(pieces[0].range.size, 0x9f000 - 0x1000);
	assert_int_equal(pieces[1].range.start, 0x101000);
	assert_int_equal(pieces[1].range.size, 0x3ffdf000 - 0x101000);
	assert_int_equal(pieces[1].offset, 0x101000);
	assert_int_equal(pieces[2].range.start, 0x100000000);
	assert_int_equal(pieces[2].range.size, 0x100000000);
	assert_int_equal(physmem_read_iomem(PATH, "System RAM", pieces, 2, &count, &err), 0);
	assert_int_equal(count, 2);
	assert_int_equal(physmem_read_iomem(PATH, "Kernel rodata", pieces, 8, &count, &err), 0);
	assert_int_equal(count, 1);
	assert_int_equal(pieces[0].range.start, 0x2000000);
	write_file(hidden, sizeof(hidden) - 1);
	assert_int_equal(physmem_read_iomem(PATH, "System RAM", pieces, 8, &count, &err), -EPERM);
	assert_string_equal(error_message(&err),
			    PATH ": shows no address of \"System RAM\" (needs root)");
	unlink(PATH);
	assert_int_equal(physmem_read_iomem(PATH, "System RAM", pieces, 8, &count, &err), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elf),	    cmocka_unit_test(test_damaged_elf),
		cmocka_unit_test(test_other_files), cmocka_unit_test(test_kcore),
		cmocka_unit_test(test_iomem),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
