/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/x86/boot: bzImage by the 64-bit protocol, initramfs, memory map, page tables. */
#include "tests/unit/boot_images.h"

/* Intel SDM vol. 3A, table 4-15 and following: present, writable, page size. */
#define SPEC_PTE_P  1ULL
#define SPEC_PTE_RW 2ULL
#define SPEC_PTE_PS 0x80ULL

static void check_tables(const struct guest_ram *ram)
{
	uint64_t flags = SPEC_PTE_P | SPEC_PTE_RW;

	assert_int_equal(guest_get(ram, 0x9000, 8), 0xa000 | flags);
	assert_int_equal(guest_get(ram, 0x9008, 8), 0);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(guest_get(ram, 0xa000 + i * 8, 8), (0xb000 + i * 0x1000) | flags);
	assert_int_equal(guest_get(ram, 0xa020, 8), 0);
	for (uint64_t i = 0; i < 2048; i++)
		assert_int_equal(guest_get(ram, 0xb000 + i * 8, 8),
				 (i * 2 * MIB) | flags | SPEC_PTE_PS);
	/* GDT: null, unused, code (L, not D), data; base 0, limit 4 GiB. */
	assert_int_equal(guest_get(ram, 0x500, 8), 0);
	assert_int_equal(guest_get(ram, 0x500 + BOOT_CS, 8), 0x00af9b000000ffffULL);
	assert_int_equal(guest_get(ram, 0x500 + BOOT_DS, 8), 0x00cf93000000ffffULL);
}

static void test_bzimage(void **state _unused_)
{
	struct guest_ram *ram = test_ram(64 * MIB);
	struct error err = ERROR_INIT;
	struct boot_entry entry;
	uint8_t loaded[PAYLOAD_LEN];
	struct image image;
	char cmdline[32];

	make_bzimage(&image);
	put64(&image, SPEC_SETUP_DATA, 0xdeadbeef);
	put16(&image, SPEC_VID_MODE, 1);
	assert_int_equal(load_image(ram, &image, 5000, "console=ttyS0", &entry, &err), 0);
	assert_true(entry.long_mode);
	assert_int_equal(entry.rip, PREF + 0x200);
	assert_int_equal(entry.rsi, 0x7000);
	assert_int_equal(entry.rbx, 0);

	assert_int_equal(guest_ram_read(ram, PREF, loaded, sizeof(loaded)), 0);
	assert_memory_equal(loaded, image.data + PAYLOAD, PAYLOAD_LEN);
	assert_int_equal(guest_ram_read(ram, 0x20000, cmdline, sizeof(cmdline)), 0);
	assert_string_equal(cmdline, "console=ttyS0");

	/* The zero page: header copied, our fields over it, nothing else. */
	assert_int_equal(guest_get(ram, 0x7000 + SPEC_HEADER, 4), 0x53726448); /* "HdrS" */
	assert_int_equal(guest_get(ram, 0x7000 + SPEC_PREF_ADDRESS, 8), PREF);
	assert_int_equal(guest_get(ram, 0x7000 + SPEC_TYPE_OF_LOADER, 1), 0xff);
	assert_int_equal(guest_get(ram, 0x7000 + SPEC_CMD_LINE_PTR, 4), 0x20000);
	assert_int_equal(guest_get(ram, 0x7000 + SPEC_ACPI_RSDP, 8), RSDP);
	assert_int_equal(guest_get(ram, 0x7000 + SPEC_SETUP_DATA, 8), 0);
	assert_int_equal(guest_get(ram, 0x7000 + SPEC_VID_MODE, 2), 0xffff);
	assert_int_equal(guest_get(ram, 0x7000 + SPEC_SENTINEL, 1), 0);
	assert_int_equal(guest_get(ram, 0x7000 + 0x26c, 8), 0);
	/* 5000 bytes take two pages; the highest two below 64 MiB. */
	assert_int_equal(guest_get(ram, 0x7000 + SPEC_RAMDISK_IMAGE, 4), 64 * MIB - 8192);
	assert_int_equal(guest_get(ram, 0x7000 + SPEC_RAMDISK_SIZE, 4), 5000);
	assert_int_equal(guest_get(ram, 64 * MIB - 8192, 6), 0x445254494e49); /* "INITRD" */
	check_tables(ram);
	guest_ram_free(ram);
}

/* A second load over a guest that has run (reset) leaves nothing of the first. */
static void test_again(void **state _unused_)
{
	struct guest_ram *ram = test_ram(64 * MIB);
	struct error err = ERROR_INIT;
	struct boot_entry entry;
	struct image image;

	memset(guest_ram_ptr(ram, 0, 64 * MIB), 0xa5, 64 * MIB);
	make_bzimage(&image);
	assert_int_equal(load_image(ram, &image, 0, "", &entry, &err), 0);
	assert_int_equal(guest_get(ram, 0x7000, 8), 0);
	assert_int_equal(guest_get(ram, 0x7000 + SPEC_RAMDISK_SIZE, 4), 0);
	assert_int_equal(guest_get(ram, 0x7000 + 0xff8, 8), 0);
	assert_int_equal(guest_get(ram, 0x20000, 1), 0);
	check_tables(ram);
	guest_ram_free(ram);
}

struct e820 {
	uint64_t addr, size;
	uint32_t type;
};

static void check_e820(uint64_t memory, const struct e820 *want, unsigned int count)
{
	struct guest_ram *ram = test_ram(memory);
	struct error err = ERROR_INIT;
	struct boot_entry entry;
	struct image image;

	make_bzimage(&image);
	assert_int_equal(load_image(ram, &image, 0, "", &entry, &err), 0);
	assert_int_equal(guest_get(ram, 0x7000 + SPEC_E820_ENTRIES, 1), count);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t at = 0x7000 + SPEC_E820_TABLE + i * 20;

		assert_int_equal(guest_get(ram, at, 8), want[i].addr);
		assert_int_equal(guest_get(ram, at + 8, 8), want[i].size);
		assert_int_equal(guest_get(ram, at + 16, 4), want[i].type);
	}
	guest_ram_free(ram);
}

/* ACPI 6.5, table 15.4: 1 is memory, 2 is reserved. */
static void test_memory_map(void **state _unused_)
{
	struct e820 map[] = {
		{0, 0x9fc00, 1},	 {0x9fc00, 0x400, 2},	     {0xe0000, 0x20000, 2},
		{0x100000, 31 * MIB, 1}, {0xe0000000, 256 * MIB, 2}, {0xfeffc000, 0x4000, 2},
		{4 * GIB, 0, 1},
	};

	check_e820(32 * MIB, map, 6);
	map[3].size = 3 * GIB - MIB;
	check_e820(3 * GIB, map, 6);
	map[6].size = 2 * GIB;
	check_e820(5 * GIB, map, 7);
	map[6].size = 597 * GIB; /* two memfds above, one entry */
	check_e820(600 * GIB, map, 7);
}

static uint64_t initrd_at(const struct guest_ram *ram)
{
	return guest_get(ram, 0x7000 + SPEC_RAMDISK_IMAGE, 4) |
	       guest_get(ram, 0x7000 + SPEC_EXT_RAMDISK_IMAGE, 4) << 32;
}

static void test_initramfs_place(void **state _unused_)
{
	struct guest_ram *ram = test_ram(8 * GIB);
	struct error err = ERROR_INIT;
	struct boot_entry entry;
	struct image image;

	/* Under the hole, if the kernel takes it anywhere; else under what it says. */
	make_bzimage(&image);
	assert_int_equal(load_image(ram, &image, 4096, "", &entry, &err), 0);
	assert_int_equal(initrd_at(ram), 3 * GIB - 4096);
	put16(&image, SPEC_XLOADFLAGS, SPEC_XLF_KERNEL_64);
	assert_int_equal(load_image(ram, &image, 4097, "", &entry, &err), 0);
	assert_int_equal(initrd_at(ram), 2 * GIB - 8192);
	guest_ram_free(ram);

	/* Exactly what is left, and one byte more. */
	ram = test_ram(32 * MIB);
	assert_int_equal(load_image(ram, &image, 12 * MIB, "", &entry, &err), 0);
	assert_int_equal(initrd_at(ram), PREF + INIT_SIZE);
	assert_int_equal(load_image(ram, &image, 12 * MIB + 1, "", &entry, &err), -ENOMEM);
	assert_says(&err, "34 MiB");
	assert_says(&err, "--memory 34M");
	guest_ram_free(ram);
}

/* Too large for low memory: above 4 GiB where the kernel can, refused with the limit where not. */
static void test_initramfs_high(void **state _unused_)
{
	struct guest_ram *ram = test_ram(8 * GIB);
	struct error err = ERROR_INIT;
	struct boot_entry entry;
	struct image image;
	uint64_t size = 64 * MIB;

	make_bzimage(&image);
	put32(&image, SPEC_INIT_SIZE, 0xb0000000 - 0x1000000); /* the kernel fills low memory */
	put64(&image, SPEC_PREF_ADDRESS, 0x10000000);
	assert_int_equal(load_image(ram, &image, size, "", &entry, &err), 0);
	assert_int_equal(initrd_at(ram), 9 * GIB - size);
	assert_int_equal(guest_get(ram, 9 * GIB - size, 6), 0x445254494e49);
	put16(&image, SPEC_XLOADFLAGS, SPEC_XLF_KERNEL_64);
	assert_int_equal(load_image(ram, &image, size, "", &entry, &err), -ENOMEM);
	assert_says(&err, "only below 0x80000000");
	put32(&image, SPEC_INITRD_ADDR_MAX, 0xffffffff);
	assert_int_equal(load_image(ram, &image, size, "", &entry, &err), -ENOMEM);
	assert_says(&err, "3072 MiB");
	guest_ram_free(ram);

	ram = test_ram(2 * GIB);
	make_bzimage(&image);
	assert_int_equal(load_image(ram, &image, 4 * GIB, "", &entry, &err), -ENOMEM);
	assert_says(&err, "--memory 7168M");
	guest_ram_free(ram);
}

static void test_cmdline(void **state _unused_)
{
	struct guest_ram *ram = test_ram(64 * MIB);
	struct error err = ERROR_INIT;
	struct boot_entry entry;
	char text[2049];
	struct image image;

	make_bzimage(&image);
	memset(text, 'x', 2048);
	text[2048] = '\0';
	assert_int_equal(load_image(ram, &image, 0, text, &entry, &err), -E2BIG);
	assert_says(&err, "2047");
	text[2047] = '\0';
	assert_int_equal(load_image(ram, &image, 0, text, &entry, &err), 0);
	assert_int_equal(guest_get(ram, 0x20000 + 2046, 2), 'x');
	put32(&image, SPEC_CMDLINE_SIZE, 100);
	assert_int_equal(load_image(ram, &image, 0, text, &entry, &err), -E2BIG);
	text[100] = '\0';
	assert_int_equal(load_image(ram, &image, 0, text, &entry, &err), 0);
	guest_ram_free(ram);
}

static void test_place(void **state _unused_)
{
	struct guest_ram *ram = test_ram(64 * MIB);
	struct error err = ERROR_INIT;
	struct boot_entry entry;
	struct image image;

	/* Relocatable: up to the alignment; not: exactly where it says. */
	make_bzimage(&image);
	put64(&image, SPEC_PREF_ADDRESS, 0x123456);
	assert_int_equal(load_image(ram, &image, 0, "", &entry, &err), 0);
	assert_int_equal(entry.rip, 0x200200);
	image.data[SPEC_RELOCATABLE] = 0;
	assert_int_equal(load_image(ram, &image, 0, "", &entry, &err), 0);
	assert_int_equal(entry.rip, 0x123656);
	/* setup_sects 0 means 4; a signature after the kernel is not loaded. */
	make_bzimage(&image);
	image.data[SPEC_SETUP_SECTS] = 0;
	memmove(image.data + 5 * 512, image.data + PAYLOAD, PAYLOAD_LEN);
	image.size = 5 * 512 + PAYLOAD_LEN + 100;
	memset(image.data + image.size - 100, 0x77, 100);
	assert_int_equal(load_image(ram, &image, 0, "", &entry, &err), 0);
	assert_memory_equal(guest_ram_ptr(ram, PREF, PAYLOAD_LEN), image.data + 5 * 512,
			    PAYLOAD_LEN);
	assert_int_equal(guest_get(ram, PREF + PAYLOAD_LEN, 8), 0);
	/* Ends exactly at the end of memory, and one byte after. */
	make_bzimage(&image);
	put32(&image, SPEC_INIT_SIZE, 48 * MIB);
	assert_int_equal(load_image(ram, &image, 0, "", &entry, &err), 0);
	put32(&image, SPEC_INIT_SIZE, 48 * MIB + 1);
	assert_int_equal(load_image(ram, &image, 0, "", &entry, &err), -ENOMEM);
	assert_says(&err, "66 MiB");
	put32(&image, SPEC_INIT_SIZE, UINT32_MAX);
	assert_int_equal(load_image(ram, &image, 0, "", &entry, &err), -ENOMEM);
	assert_says(&err, "no guest has");
	guest_ram_free(ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bzimage),	       cmocka_unit_test(test_again),
		cmocka_unit_test(test_memory_map),     cmocka_unit_test(test_initramfs_place),
		cmocka_unit_test(test_initramfs_high), cmocka_unit_test(test_cmdline),
		cmocka_unit_test(test_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
