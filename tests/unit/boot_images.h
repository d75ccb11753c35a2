/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel images made by hand for the tests of vmm/x86/boot: offsets from the specifications, typed
 * again here (SPEC_) so that a slip in ours shows.
 */
#ifndef HOLDFAST_TESTS_UNIT_BOOT_IMAGES_H
#define HOLDFAST_TESTS_UNIT_BOOT_IMAGES_H

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
#include "vmm/guest_memory.h"
#include "vmm/x86/boot.h"

/* Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header". */
#define SPEC_SETUP_SECTS      0x1f1
#define SPEC_SYSSIZE	      0x1f4
#define SPEC_VID_MODE	      0x1fa
#define SPEC_BOOT_FLAG	      0x1fe
#define SPEC_JUMP	      0x200
#define SPEC_HEADER	      0x202
#define SPEC_VERSION	      0x206
#define SPEC_TYPE_OF_LOADER   0x210
#define SPEC_LOADFLAGS	      0x211
#define SPEC_RAMDISK_IMAGE    0x218
#define SPEC_RAMDISK_SIZE     0x21c
#define SPEC_CMD_LINE_PTR     0x228
#define SPEC_INITRD_ADDR_MAX  0x22c
#define SPEC_KERNEL_ALIGNMENT 0x230
#define SPEC_RELOCATABLE      0x234
#define SPEC_XLOADFLAGS	      0x236
#define SPEC_CMDLINE_SIZE     0x238
#define SPEC_SETUP_DATA	      0x250
#define SPEC_PREF_ADDRESS     0x258
#define SPEC_INIT_SIZE	      0x260
/* Documentation/arch/x86/zero-page.rst */
#define SPEC_ACPI_RSDP	       0x070
#define SPEC_EXT_RAMDISK_IMAGE 0x0c0
#define SPEC_EXT_RAMDISK_SIZE  0x0c4
#define SPEC_E820_ENTRIES      0x1e8
#define SPEC_SENTINEL	       0x1ef
#define SPEC_E820_TABLE	       0x2d0
#define SPEC_XLF_KERNEL_64     0x01
#define SPEC_XLF_ABOVE_4G      0x02

#define IMAGE_MAX 16384U

struct image {
	uint8_t data[IMAGE_MAX];
	size_t size;
};

static inline void put16(struct image *image, size_t offset, uint16_t value)
{
	memcpy(image->data + offset, &value, sizeof(value));
}

static inline void put32(struct image *image, size_t offset, uint32_t value)
{
	memcpy(image->data + offset, &value, sizeof(value));
}

static inline void put64(struct image *image, size_t offset, uint64_t value)
{
	memcpy(image->data + offset, &value, sizeof(value));
}

/* What a loaded guest has at an address. */
static inline uint64_t guest_get(const struct guest_ram *ram, uint64_t gpa, size_t size)
{
	uint64_t value = 0;

	assert_int_equal(guest_ram_read(ram, gpa, &value, size), 0);
	return value;
}

/* A file that is gone at the end of the test, by name. */
struct temp_file {
	char path[64];
};

static inline void temp_write(struct temp_file *file, const void *data, size_t size)
{
	int fd;

	if (file->path[0] == '\0') {
		strcpy(file->path, "/tmp/holdfast-boot-XXXXXX");
		fd = mkostemp(file->path, O_CLOEXEC);
	} else {
		fd = open(file->path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	}
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

static inline void temp_remove(struct temp_file *file)
{
	if (file->path[0] != '\0')
		unlink(file->path);
	file->path[0] = '\0';
}

static inline struct guest_ram *test_ram(uint64_t size)
{
	struct error err = ERROR_INIT;
	struct guest_ram *ram = NULL;

	if (guest_ram_create(size, NULL, &ram, &err) < 0)
		fail_msg("%s", err.message);
	return ram;
}

/* Fails the test unless the message says `word`. */
static inline void assert_says(const struct error *err, const char *word)
{
	if (!strstr(err->message, word))
		fail_msg("'%s' does not say '%s'", err->message, word);
}

/* Guest address that the tests give for the ACPI root pointer. */
#define RSDP 0xe0000ULL

/* Writes image (and initrd, if it has a size) to files and loads them. */
static inline int load_image(const struct guest_ram *ram, const struct image *image,
			     uint64_t initrd_size, const char *cmdline, struct boot_entry *entry,
			     struct error *err)
{
	struct temp_file kernel = {""}, initrd = {""};
	int r;

	error_clear(err);
	temp_write(&kernel, image->data, image->size);
	if (initrd_size > 0) {
		temp_write(&initrd, "INITRD", 6);
		assert_int_equal(truncate(initrd.path, (off_t)initrd_size), 0); /* sparse */
	}
	r = boot_load(ram, kernel.path, initrd.path, cmdline, RSDP, entry, err);
	if (r < 0 && !strstr(err->message, kernel.path) && !strstr(err->message, initrd.path))
		fail_msg("'%s' does not name the file", err->message);
	temp_remove(&kernel);
	temp_remove(&initrd);
	return r;
}

/* A kernel that is none, and says so with that word. */
static inline void refuse(const struct image *image, const char *word)
{
	struct guest_ram *ram = test_ram(64 * MIB);
	struct error err = ERROR_INIT;
	struct boot_entry entry;

	assert_int_equal(load_image(ram, image, 0, "", &entry, &err), -ENOEXEC);
	assert_says(&err, word);
	guest_ram_free(ram);
}

/* A bzImage that is right in every field; tests then spoil one. */
#define PAYLOAD_LEN 4096U
#define PAYLOAD	    1024U /* setup_sects 1 */
#define PREF	    0x1000000ULL
#define INIT_SIZE   0x400000U

static inline void make_bzimage(struct image *image)
{
	memset(image, 0, sizeof(*image));
	image->size = PAYLOAD + PAYLOAD_LEN;
	image->data[SPEC_SETUP_SECTS] = 1;
	put32(image, SPEC_SYSSIZE, PAYLOAD_LEN / 16);
	put16(image, SPEC_BOOT_FLAG, 0xaa55);
	image->data[SPEC_JUMP] = 0xeb;
	image->data[SPEC_JUMP + 1] = 0x6a; /* the header ends at 0x26c */
	memcpy(image->data + SPEC_HEADER, "HdrS", 4);
	put16(image, SPEC_VERSION, 0x20f);
	image->data[SPEC_LOADFLAGS] = 0x01; /* LOADED_HIGH */
	put32(image, SPEC_INITRD_ADDR_MAX, 0x7fffffff);
	put32(image, SPEC_KERNEL_ALIGNMENT, 0x200000);
	image->data[SPEC_RELOCATABLE] = 1;
	put16(image, SPEC_XLOADFLAGS, SPEC_XLF_KERNEL_64 | SPEC_XLF_ABOVE_4G);
	put32(image, SPEC_CMDLINE_SIZE, 2047);
	put64(image, SPEC_PREF_ADDRESS, PREF);
	put32(image, SPEC_INIT_SIZE, INIT_SIZE);
	for (unsigned int i = 0; i < PAYLOAD_LEN; i++)
		image->data[PAYLOAD + i] = (uint8_t)(i * 7 + 1);
}

#endif
