/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/preflight/bzimage.h"

#include <inttypes.h>
#include <string.h>

#include "base/le.h"
#include "base/util.h"

/* Offsets of the setup header (boot.rst, "The Real-Mode Kernel Header"). */
enum {
	HDR_SETUP_SECTS = 0x1f1,
	HDR_SYSSIZE = 0x1f4, /* in units of 16 bytes */
	HDR_BOOT_FLAG = 0x1fe,
	HDR_MAGIC = 0x202,
	HDR_VERSION = 0x206,
	HDR_KERNEL_VERSION = 0x20e,
	HDR_LOADFLAGS = 0x211,
	HDR_KERNEL_ALIGNMENT = 0x230,
	HDR_XLOADFLAGS = 0x236,
	HDR_CMDLINE_SIZE = 0x238,
	HDR_PAYLOAD_OFFSET = 0x248,
	HDR_PAYLOAD_LENGTH = 0x24c,
	HDR_PREF_ADDRESS = 0x258,
	HDR_INIT_SIZE = 0x260,
	HDR_END = 0x268,
};

#define BOOT_FLAG   0xaa55U
#define VERSION_MIN 0x020cU
#define LOADED_HIGH 0x01U
#define XLF_64	    0x01U
#define XLF_ABOVE   0x02U
#define XLF_5LEVEL  0x20U
#define SECTOR	    512U

static int check_magic(const uint8_t *data, size_t size, const char *path, struct error *err)
{
	if (size < HDR_END || le_get16(data, HDR_BOOT_FLAG) != BOOT_FLAG ||
	    memcmp(data + HDR_MAGIC, "HdrS", 4) != 0)
		return error_set(err, -ENOEXEC,
				 "%s: not a bzImage: give the image that a boot loader starts "
				 "(/boot/vmlinuz-*)",
				 path);
	if (le_get16(data, HDR_VERSION) < VERSION_MIN)
		return error_set(
			err, -ENOEXEC, "%s: boot protocol %u.%02u, and kexec_file_load needs 2.12",
			path, le_get16(data, HDR_VERSION) >> 8, le_get16(data, HDR_VERSION) & 0xff);
	if (!(data[HDR_LOADFLAGS] & LOADED_HIGH))
		return error_set(err, -ENOEXEC, "%s: a zImage, not a bzImage", path);
	return 0;
}

static void read_release(const uint8_t *data, size_t size, struct bzimage *image)
{
	/* The pointer is relative to 0x200; 0: no text. */
	size_t at = le_get16(data, HDR_KERNEL_VERSION) + 0x200U;
	size_t len = 0;

	if (le_get16(data, HDR_KERNEL_VERSION) == 0)
		return;
	while (at + len < size && len + 1 < sizeof(image->release) && data[at + len] > ' ' &&
	       data[at + len] < 0x7f)
		len++;
	memcpy(image->release, data + at, MIN_OF(len, size > at ? size - at : 0));
}

int bzimage_parse(const uint8_t *data, size_t size, const char *path, struct bzimage *ret,
		  struct error *err)
{
	uint32_t sectors, setup_size;
	uint64_t wanted;
	int r = check_magic(data, size, path, err);

	*ret = (struct bzimage){0};
	if (r < 0)
		return r;
	/* "If it is 0, the real value is 4." */
	sectors = data[HDR_SETUP_SECTS] ? data[HDR_SETUP_SECTS] : 4U;
	setup_size = (sectors + 1) * SECTOR;
	wanted = setup_size + (uint64_t)le_get32(data, HDR_SYSSIZE) * 16;
	/* syssize is rounded up: the last paragraph need not be whole. */
	if (size + 16 <= wanted)
		return error_set(err, -EINVAL,
				 "%s: truncated: %zu bytes, and its header tells of %" PRIu64
				 ": copy it again",
				 path, size, wanted);
	read_release(data, size, ret);
	ret->kernel_size = (uint32_t)(size - setup_size);
	ret->init_size = le_get32(data, HDR_INIT_SIZE);
	ret->kernel_alignment = le_get32(data, HDR_KERNEL_ALIGNMENT);
	ret->pref_address = le_get64(data, HDR_PREF_ADDRESS);
	ret->cmdline_size = le_get32(data, HDR_CMDLINE_SIZE);
	ret->payload_size = le_get32(data, HDR_PAYLOAD_LENGTH);
	ret->payload_offset = setup_size + le_get32(data, HDR_PAYLOAD_OFFSET);
	ret->xlf_kernel_64 = le_get16(data, HDR_XLOADFLAGS) & XLF_64;
	ret->xlf_above_4g = le_get16(data, HDR_XLOADFLAGS) & XLF_ABOVE;
	ret->xlf_5level = le_get16(data, HDR_XLOADFLAGS) & XLF_5LEVEL;
	if (ret->payload_offset < setup_size || ret->payload_offset > size ||
	    ret->payload_size > size - ret->payload_offset || ret->payload_size < 16)
		return error_set(
			err, -EINVAL,
			"%s: damaged: its payload (%u bytes at %u) is not in the file's %zu "
			"bytes",
			path, ret->payload_size, ret->payload_offset, size);
	if (!ret->xlf_kernel_64 || !ret->xlf_above_4g)
		return error_set(err, -ENOEXEC,
				 "%s: a 32-bit kernel: kexec_file_load needs a 64-bit one", path);
	return 0;
}

void bzimage_done(struct bzimage *image)
{
	free(image->image);
	image->image = NULL;
}
