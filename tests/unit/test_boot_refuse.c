/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/x86/boot: every bzImage that is none, damaged or cut short, and every file that cannot be. */
#include "tests/unit/boot_images.h"

static void refuse(const struct image *image, const char *word)
{
	struct guest_ram *ram = test_ram(64 * MIB);
	struct boot_entry entry;
	struct error err = ERROR_INIT;

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
		{SPEC_BOOT_FLAG, 2, 0, "0xaa55"},
		{SPEC_HEADER, 4, 0, "not a Linux kernel"},
		{SPEC_VERSION, 2, 0x20b, "2.11"},
		{SPEC_VERSION, 2, 0x204, "2.04"},
		{SPEC_XLOADFLAGS, 2, SPEC_XLF_ABOVE_4G, "32-bit kernel"},
		{SPEC_LOADFLAGS, 1, 0, "zImage"},
		{SPEC_JUMP + 1, 1, 0x65, "setup header"},
		{SPEC_JUMP + 1, 1, 0x8f, "setup header"},
		{SPEC_SYSSIZE, 4, 0, "no kernel"},
		{SPEC_SYSSIZE, 4, 0x20, "no kernel"},
		{SPEC_SYSSIZE, 4, PAYLOAD_LEN / 16 + 1, "cut short"},
		{SPEC_SYSSIZE, 4, UINT32_MAX, "cut short"},
		{SPEC_SETUP_SECTS, 1, 255, "cut short"},
		{SPEC_KERNEL_ALIGNMENT, 4, 0, "power of two"},
		{SPEC_KERNEL_ALIGNMENT, 4, 0x300000, "power of two"},
		{SPEC_PREF_ADDRESS, 8, UINT64_MAX, "loaded at"},
		{SPEC_PREF_ADDRESS, 8, 0xc0000000, "loaded at"},
	};
	struct image image;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		make_bzimage(&image);
		memcpy(image.data + cases[i].offset, &cases[i].value, cases[i].size);
		refuse(&image, cases[i].word);
	}
	make_bzimage(&image);
	image.data[SPEC_RELOCATABLE] = 0;
	put64(&image, SPEC_PREF_ADDRESS, 0xfffff);
	refuse(&image, "below 1 MiB");
	for (size_t size = 1; size < PAYLOAD + PAYLOAD_LEN; size += size < 0x300 ? 1 : 97) {
		make_bzimage(&image);
		image.size = size;
		refuse(&image, size < 0x206 ? "not a Linux kernel" : "cut short");
	}
}

static void test_not_kernels(void **state _unused_)
{
	static const struct {
		unsigned int offset, size;
		const char *bytes, *word;
	} cases[] = {
		{56, 4, "ARM\x64", "arm64"},	      {56, 4, "RSC\x05", "RISC-V"},
		{0, 2, "\x1f\x8b", "gunzip"},	      {0, 6, "\xfd\x37zXZ", "unxz"},
		{0, 4, "\x28\xb5\x2f\xfd", "unzstd"}, {0, 6, "070701", "initramfs"},
	};
	struct image image;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(&image, 0, sizeof(image));
		image.size = 2048;
		memcpy(image.data + cases[i].offset, cases[i].bytes, cases[i].size);
		refuse(&image, cases[i].word);
	}
}

static void test_files(void **state _unused_)
{
	struct guest_ram *ram = test_ram(64 * MIB);
	struct temp_file kernel = {""}, other = {""};
	struct error err = ERROR_INIT;
	struct boot_entry entry;
	struct image image;

	make_bzimage(&image);
	temp_write(&kernel, image.data, image.size);
	assert_int_equal(boot_load(ram, "/nonexistent/vmlinuz", "", "", RSDP, &entry, &err),
			 -ENOENT);
	assert_says(&err, "kernel /nonexistent/vmlinuz");
	assert_int_equal(boot_load(ram, kernel.path, "/nonexistent/i", "", RSDP, &entry, &err),
			 -ENOENT);
	assert_says(&err, "initramfs /nonexistent/i");
	assert_int_equal(boot_load(ram, "/tmp", "", "", RSDP, &entry, &err), -ENOEXEC);
	assert_says(&err, "regular");
	temp_write(&other, "", 0);
	assert_int_equal(boot_load(ram, other.path, "", "", RSDP, &entry, &err), -ENOEXEC);
	assert_int_equal(boot_load(ram, kernel.path, other.path, "", RSDP, &entry, &err), -ENOEXEC);
	assert_says(&err, "empty");
	/* A FIFO must not make us wait for a writer. */
	assert_int_equal(unlink(other.path), 0);
	assert_int_equal(mkfifo(other.path, 0600), 0);
	assert_int_equal(boot_load(ram, other.path, "", "", RSDP, &entry, &err), -ENOEXEC);
	assert_says(&err, "regular");
	temp_remove(&kernel);
	temp_remove(&other);
	guest_ram_free(ram);
}

/* Any single byte of the header may lie: an error or a load, never a crash (sanitizers watch). */
static void test_hostile_bytes(void **state _unused_)
{
	static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	struct guest_ram *ram = test_ram(64 * MIB);
	struct boot_entry entry;
	struct error err = ERROR_INIT;
	struct image image;
	unsigned int refused = 0, loaded = 0;

	for (size_t at = 0x1f0; at < 0x290; at++)
		for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
			make_bzimage(&image);
			image.data[at] = values[i];
			if (load_image(ram, &image, 0, "", &entry, &err) < 0)
				refused++;
			else
				loaded++;
		}
	assert_true(refused > 50 && loaded > 50);
	guest_ram_free(ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_not_kernels),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_hostile_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
