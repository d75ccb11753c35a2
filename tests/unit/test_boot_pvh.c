/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/x86/boot: ELF kernels by PVH, their notes and program headers, and every bad one. */
#include "tests/unit/boot_images.h"
#include "vmm/x86/elf_notes.h"

/* System V gABI: offsets in Elf64_Ehdr and Elf64_Phdr. */
#define SPEC_E_TYPE	 16
#define SPEC_E_MACHINE	 18
#define SPEC_E_PHOFF	 32
#define SPEC_E_PHENTSIZE 54
#define SPEC_E_PHNUM	 56
#define SPEC_P_TYPE	 0
#define SPEC_P_OFFSET	 8
#define SPEC_P_PADDR	 24
#define SPEC_P_FILESZ	 32
#define SPEC_P_MEMSZ	 40
#define SPEC_P_ALIGN	 48
#define SPEC_PT_LOAD	 1
#define SPEC_PT_NOTE	 4
/* Xen public/elfnote.h and public/arch-x86/hvm/start_info.h */
#define SPEC_PHYS32_ENTRY 18
#define SPEC_MAGIC	  0x336ec578

/* Three headers at 64: two segments and the notes. */
#define PHDR(n)	    (64U + (n) * 56U)
#define TEXT_OFFSET 0x400U
#define TEXT_ADDR   0x1000000ULL
#define TEXT_LEN    0x200U
#define DATA_OFFSET 0x600U
#define DATA_ADDR   0x1800000ULL
#define DATA_LEN    0x100U
#define DATA_MEM    0x3000U
#define NOTE_OFFSET 0x800U
#define NOTE_LEN    44U
#define ENTRY	    (TEXT_ADDR + 0x40)

static void put_phdr(struct image *image, unsigned int n, uint32_t type, uint64_t offset,
		     uint64_t paddr, uint64_t filesz, uint64_t memsz)
{
	put32(image, PHDR(n) + SPEC_P_TYPE, type);
	put64(image, PHDR(n) + SPEC_P_OFFSET, offset);
	put64(image, PHDR(n) + SPEC_P_PADDR, paddr);
	put64(image, PHDR(n) + SPEC_P_FILESZ, filesz);
	put64(image, PHDR(n) + SPEC_P_MEMSZ, memsz);
	put64(image, PHDR(n) + SPEC_P_ALIGN, 4);
}

static void make_elf(struct image *image)
{
	memset(image, 0, sizeof(*image));
	image->size = NOTE_OFFSET + NOTE_LEN;
	memcpy(image->data,
	       "\x7f"
	       "ELF\x02\x01\x01",
	       7);
	put16(image, SPEC_E_TYPE, 2);
	put16(image, SPEC_E_MACHINE, 62);
	put64(image, SPEC_E_PHOFF, 64);
	put16(image, SPEC_E_PHENTSIZE, 56);
	put16(image, SPEC_E_PHNUM, 3);
	put_phdr(image, 0, SPEC_PT_LOAD, TEXT_OFFSET, TEXT_ADDR, TEXT_LEN, TEXT_LEN);
	put_phdr(image, 1, SPEC_PT_LOAD, DATA_OFFSET, DATA_ADDR, DATA_LEN, DATA_MEM);
	put_phdr(image, 2, SPEC_PT_NOTE, NOTE_OFFSET, 0, NOTE_LEN, NOTE_LEN);
	for (unsigned int i = TEXT_OFFSET; i < NOTE_OFFSET; i++)
		image->data[i] = (uint8_t)(i * 5 + 3);
	/* A note of somebody else's, of five bytes, then ours. */
	put32(image, NOTE_OFFSET, 4);
	put32(image, NOTE_OFFSET + 4, 3);
	put32(image, NOTE_OFFSET + 8, SPEC_PHYS32_ENTRY);
	memcpy(image->data + NOTE_OFFSET + 12, "GNU", 4);
	memcpy(image->data + NOTE_OFFSET + 16, "\x01\x02\x03", 3);
	put32(image, NOTE_OFFSET + 20, 4);
	put32(image, NOTE_OFFSET + 24, 8);
	put32(image, NOTE_OFFSET + 28, SPEC_PHYS32_ENTRY);
	memcpy(image->data + NOTE_OFFSET + 32, "Xen", 4);
	put64(image, NOTE_OFFSET + 36, ENTRY);
}

static void test_pvh(void **state _unused_)
{
	struct guest_ram *ram = test_ram(64 * MIB);
	struct error err = ERROR_INIT;
	struct boot_entry entry;
	struct image image;
	uint64_t module, memmap;

	memset(guest_ram_ptr(ram, 0, 64 * MIB), 0xa5, 64 * MIB); /* as after a reset */
	make_elf(&image);
	assert_int_equal(load_image(ram, &image, 5000, "quiet", &entry, &err), 0);
	assert_false(entry.long_mode);
	assert_int_equal(entry.rip, ENTRY);
	assert_int_equal(entry.rbx, 0x6000);
	assert_int_equal(entry.rsi, 0);
	assert_memory_equal(guest_ram_ptr(ram, TEXT_ADDR, TEXT_LEN), image.data + TEXT_OFFSET,
			    TEXT_LEN);
	assert_memory_equal(guest_ram_ptr(ram, DATA_ADDR, DATA_LEN), image.data + DATA_OFFSET,
			    DATA_LEN);
	for (unsigned int i = DATA_LEN; i < DATA_MEM; i++)
		assert_int_equal(guest_get(ram, DATA_ADDR + i, 1), 0);
	assert_int_equal(guest_get(ram, DATA_ADDR + DATA_MEM, 1), 0xa5);

	assert_int_equal(guest_get(ram, 0x6000, 4), SPEC_MAGIC);
	assert_int_equal(guest_get(ram, 0x6004, 4), 1); /* version */
	assert_int_equal(guest_get(ram, 0x6008, 4), 0);
	assert_int_equal(guest_get(ram, 0x600c, 4), 1); /* modules */
	module = guest_get(ram, 0x6010, 8);
	assert_int_equal(guest_get(ram, module, 8), 64 * MIB - 8192);
	assert_int_equal(guest_get(ram, module + 8, 8), 5000);
	assert_int_equal(guest_get(ram, guest_get(ram, 0x6018, 8), 6), 0x7465697571); /* "quiet" */
	assert_int_equal(guest_get(ram, 0x6020, 8), RSDP);
	memmap = guest_get(ram, 0x6028, 8);
	assert_int_equal(guest_get(ram, 0x6030, 4), 6);
	assert_int_equal(guest_get(ram, memmap, 8), 0);
	assert_int_equal(guest_get(ram, memmap + 8, 8), 0x9fc00);
	assert_int_equal(guest_get(ram, memmap + 16, 4), 1);
	assert_int_equal(guest_get(ram, memmap + 3 * 24, 8), 0x100000);
	assert_int_equal(guest_get(ram, memmap + 3 * 24 + 8, 8), 63 * MIB);

	assert_int_equal(load_image(ram, &image, 0, "", &entry, &err), 0);
	assert_int_equal(guest_get(ram, 0x600c, 4), 0);
	assert_int_equal(guest_get(ram, 0x6010, 8), 0);
	guest_ram_free(ram);
}

static void test_limits(void **state _unused_)
{
	struct guest_ram *ram = test_ram(32 * MIB);
	struct error err = ERROR_INIT;
	struct boot_entry entry;
	struct image image;
	char text[2049];

	make_elf(&image);
	put64(&image, PHDR(1) + SPEC_P_MEMSZ, 8 * MIB); /* ends at 32 MiB */
	assert_int_equal(load_image(ram, &image, 0, "", &entry, &err), 0);
	put64(&image, PHDR(1) + SPEC_P_MEMSZ, 8 * MIB + 1);
	assert_int_equal(load_image(ram, &image, 0, "", &entry, &err), -ENOMEM);
	assert_says(&err, "--memory 34M");
	put64(&image, PHDR(1) + SPEC_P_MEMSZ, 4 * MIB);
	assert_int_equal(load_image(ram, &image, 4 * MIB, "", &entry, &err), 0);
	assert_int_equal(load_image(ram, &image, 4 * MIB + 1, "", &entry, &err), -ENOMEM);
	assert_says(&err, "initramfs");
	memset(text, 'x', 2048);
	text[2048] = '\0';
	assert_int_equal(load_image(ram, &image, 0, text, &entry, &err), -E2BIG);
	guest_ram_free(ram);
}

static void refuse(const struct image *image, const char *word)
{
	struct guest_ram *ram = test_ram(64 * MIB);
	struct error err = ERROR_INIT;
	struct boot_entry entry;

	assert_int_equal(load_image(ram, image, 0, "", &entry, &err), -ENOEXEC);
	assert_says(&err, word);
	guest_ram_free(ram);
}

static void test_refuses(void **state _unused_)
{
	static const struct {
		unsigned int offset, size;
		uint64_t value;
		const char *word;
	} cases[] = {
		{4, 1, 1, "32-bit"},
		{4, 1, 0, "architecture"},
		{5, 1, 2, "architecture"},
		{SPEC_E_MACHINE, 2, 183, "machine 183"},
		{SPEC_E_TYPE, 2, 1, "no program"},
		{SPEC_E_TYPE, 2, 4, "no program"},
		{SPEC_E_PHENTSIZE, 2, 32, "program headers"},
		{SPEC_E_PHNUM, 2, 0, "program headers"},
		{SPEC_E_PHNUM, 2, 65, "program headers"},
		{SPEC_E_PHNUM, 2, 0xffff, "program headers"},
		{SPEC_E_PHNUM, 2, 64, "cut short"},
		{SPEC_E_PHOFF, 8, UINT64_MAX - 10, "cut short"},
		{SPEC_E_PHOFF, 8, NOTE_OFFSET, "cut short"},
		{SPEC_E_PHNUM, 2, 2, "CONFIG_PVH"},
		{PHDR(2) + SPEC_P_FILESZ, 8, 20, "CONFIG_PVH"},
		{PHDR(2) + SPEC_P_FILESZ, 8, 65537, "too long"},
		{PHDR(2) + SPEC_P_FILESZ, 8, 40, "make no sense"},
		{PHDR(2) + SPEC_P_OFFSET, 8, UINT64_MAX, "cut short"},
		{NOTE_OFFSET, 4, UINT32_MAX, "make no sense"},
		{NOTE_OFFSET + 4, 4, UINT32_MAX, "make no sense"},
		{NOTE_OFFSET + 24, 4, 5, "make no sense"},
		{NOTE_OFFSET + 40, 4, 1, "make no sense"}, /* entry above 4 GiB */
		{NOTE_OFFSET + 36, 8, TEXT_ADDR + TEXT_LEN, "none of its segments"},
		{NOTE_OFFSET + 36, 8, TEXT_ADDR - 1, "none of its segments"},
		{NOTE_OFFSET + 36, 8, DATA_ADDR + DATA_LEN, "none of its segments"},
		{PHDR(0) + SPEC_P_MEMSZ, 8, TEXT_LEN - 1, "cut short"},
		{PHDR(0) + SPEC_P_OFFSET, 8, UINT64_MAX, "cut short"},
		{PHDR(0) + SPEC_P_OFFSET, 8, NOTE_OFFSET, "cut short"},
		{PHDR(0) + SPEC_P_PADDR, 8, 0xfffff, "no guest has memory"},
		{PHDR(0) + SPEC_P_PADDR, 8, 0, "no guest has memory"},
		{PHDR(0) + SPEC_P_PADDR, 8, UINT64_MAX - 10, "no guest has memory"},
		{PHDR(1) + SPEC_P_MEMSZ, 8, UINT64_MAX, "no guest has memory"},
	};
	struct image image;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		make_elf(&image);
		memcpy(image.data + cases[i].offset, &cases[i].value, cases[i].size);
		refuse(&image, cases[i].word);
	}
	make_elf(&image);
	put64(&image, PHDR(0) + SPEC_P_MEMSZ, 47 * MIB);
	put64(&image, PHDR(1) + SPEC_P_MEMSZ, 39 * MIB);
	refuse(&image, "overlap");
	make_elf(&image);
	put_phdr(&image, 0, 0, 0, 0, 0, 0);
	put_phdr(&image, 1, 0, 0, 0, 0, 0);
	refuse(&image, "nothing to load");
	for (size_t size = 4; size < NOTE_OFFSET + NOTE_LEN; size += size < 256 ? 1 : 13) {
		make_elf(&image);
		image.size = size;
		refuse(&image, "cut short");
	}
}

static void test_hostile_bytes(void **state _unused_)
{
	static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	struct guest_ram *ram = test_ram(64 * MIB);
	struct error err = ERROR_INIT;
	struct boot_entry entry;
	struct image image;
	unsigned int refused = 0;

	for (size_t at = 4; at < NOTE_OFFSET + NOTE_LEN; at++) {
		if (at == PHDR(3))
			at = NOTE_OFFSET;
		for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
			make_elf(&image);
			image.data[at] = values[i];
			refused += load_image(ram, &image, 0, "", &entry, &err) < 0;
		}
	}
	assert_true(refused > 100);
	guest_ram_free(ram);
}

/* The notes alone, in a buffer of exactly their length, so that a sanitizer sees one byte too far.
 */
static void test_notes(void **state _unused_)
{
	static const uint8_t four[] = "\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen\0\x00\x10\x00\x01";
	static const uint8_t eight[] = "\x04\0\0\0\x04\0\0\0\x05\0\0\0GNU\0abcd\0\0\0\0"
				       "\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen\0\x00\x10\x00\x01";
	struct image image;
	uint64_t entry;

	make_elf(&image);
	for (uint64_t size = 0; size <= NOTE_LEN; size++) {
		uint8_t *notes = malloc(size ? size : 1);

		assert_non_null(notes);
		memcpy(notes, image.data + NOTE_OFFSET, size);
		assert_true((elf_notes_find_phys32_entry(notes, size, 4, &entry) == 0) ==
			    (size == NOTE_LEN));
		free(notes);
	}
	/* Four bytes of entry, no padding behind. */
	assert_int_equal(elf_notes_find_phys32_entry(four, sizeof(four) - 1, 4, &entry), 0);
	assert_int_equal(entry, 0x1001000);
	/* The padding of eight-byte alignment: after the note before, not between name and entry.
	 */
	assert_int_equal(elf_notes_find_phys32_entry(eight, sizeof(eight) - 1, 8, &entry), 0);
	assert_int_equal(entry, 0x1001000);
	assert_int_equal(elf_notes_find_phys32_entry(eight, sizeof(eight) - 1, 4, &entry), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pvh),	      cmocka_unit_test(test_limits),
		cmocka_unit_test(test_refuses),	      cmocka_unit_test(test_notes),
		cmocka_unit_test(test_hostile_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
