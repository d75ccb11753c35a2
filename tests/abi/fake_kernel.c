/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/abi/fake_kernel.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/util.h"

#define IMAGE_SIZE (64 * KIB)
#define SETUP_SIZE (5 * 512U) /* setup_sects 4 */

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fake kernel: %s\n", what);
	abort();
}

static void put(uint8_t *to, uint64_t value, size_t size)
{
	memcpy(to, &value, size);
}

static uint8_t *put_text(uint8_t *to, const char *text)
{
	strcpy((char *)to, text);
	return to + strlen(text) + 1;
}

/* As kernel/configs.c has it. */
static void put_config(uint8_t *to, const char *config)
{
	z_stream z = {0};

	memcpy(to, "IKCFG_ST", 8);
	must(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK,
	     "zlib");
	z.next_in = (uint8_t *)(uintptr_t)config;
	z.avail_in = (uInt)strlen(config);
	z.next_out = to + 8;
	z.avail_out = 16384;
	must(deflate(&z, Z_FINISH) == Z_STREAM_END, "zlib");
	memcpy(to + 8 + z.total_out, "IKCFG_ED", 8);
	deflateEnd(&z);
}

static size_t image_size(const struct fake_kernel *k)
{
	return k->small ? 8 * KIB : IMAGE_SIZE;
}

static void make_image(const struct fake_kernel *k, uint8_t *image)
{
	uint8_t *at = image + 1024;

	/* Bytes that compress badly, so that a cut payload is short of many. */
	for (size_t i = 0, x = 1; i < IMAGE_SIZE; i++, x = x * 1103515245 + 12345)
		image[i] = i < 32768 ? 0 : (uint8_t)(x >> 16);
	at = put_text(at, "no kho-v9 because of what is in front of it: xkho-v9");
	at = put_text(at, "kho-v8 is not it either, for what is behind it");
	at = put_text(at, k->kho ? k->kho : "kho-v4");
	at = put_text(at, k->luo ? k->luo : "luo-v5");
	at = put_text(at, k->memfd ? k->memfd : "memfd-v2");
	for (const char *const *name = k->handlers; name && *name; name++)
		at = put_text(at, *name);
	if (k->config)
		put_config(image + 4096, k->config);
}

/* LZ4's legacy frame (lz4_Frame_format.md): magic, block size, one block of literals only. */
static size_t lz4_legacy(const uint8_t *data, size_t size, uint8_t *out)
{
	size_t used = 8, rest = size - 15;

	put(out, 0x184c2102, 4);
	out[used++] = 0xf0;
	for (; rest >= 255; rest -= 255)
		out[used++] = 255;
	out[used++] = (uint8_t)rest;
	memcpy(out + used, data, size);
	used += size;
	put(out + 4, used - 8, 4);
	return used;
}

static size_t compress_image(const char *how, const uint8_t *data, size_t size, uint8_t *out,
			     size_t max)
{
	struct archive *a = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	size_t used = 0;

	must(a && entry, "libarchive");
	must(archive_write_set_format_raw(a) == ARCHIVE_OK, "raw");
	must(archive_write_add_filter_by_name(a, how) == ARCHIVE_OK, how);
	/* Else the end is padded to whole blocks. */
	archive_write_set_bytes_in_last_block(a, 1);
	must(archive_write_open_memory(a, out, max, &used) == ARCHIVE_OK, "open");
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_pathname(entry, "vmlinux");
	must(archive_write_header(a, entry) == ARCHIVE_OK, "header");
	must(archive_write_data(a, data, size) == (la_ssize_t)size, "data");
	archive_entry_free(entry);
	must(archive_write_close(a) == ARCHIVE_OK, "close");
	archive_write_free(a);
	return used;
}

static size_t make_payload(const struct fake_kernel *k, uint8_t *out, size_t max)
{
	const char *how = k->compression ? k->compression : "gzip";
	uint8_t *image = calloc(1, IMAGE_SIZE);
	size_t size;

	must(image != NULL, "out of memory");
	make_image(k, image);
	if (strcmp(how, "lz4") == 0)
		size = lz4_legacy(image, image_size(k), out) + k->padding;
	else if (strcmp(how, "lzo") == 0)
		size = (size_t)sprintf((char *)out, "\x89LZO and something behind it");
	else
		size = compress_image(how, image, image_size(k), out, max);
	free(image);
	if (strcmp(how, "gzip") != 0) {
		put(out + size, image_size(k), 4);
		size += 4;
	}
	return size;
}

uint8_t *fake_kernel_make(const struct fake_kernel *k, size_t *ret_size)
{
	size_t max = SETUP_SIZE + 4 * IMAGE_SIZE, payload;
	uint8_t *f = calloc(1, max);

	must(f != NULL, "out of memory");
	payload = make_payload(k, f + SETUP_SIZE + 256, max - SETUP_SIZE - 256);
	f[0x1f1] = 4;
	put(f + 0x1f4, (payload + 256 + 15) / 16, 4);
	put(f + 0x1fe, 0xaa55, 2);
	memcpy(f + 0x202, "HdrS", 4);
	put(f + 0x206, k->protocol ? k->protocol : 0x20f, 2);
	put(f + 0x20e, 0x300, 2);
	snprintf((char *)f + 0x500, 100, "%s (test@test) #1",
		 k->release ? k->release : "7.3.4-fake");
	f[0x211] = 1; /* LOADED_HIGH */
	put(f + 0x230, 2 * MIB, 4);
	put(f + 0x236, k->xloadflags ? k->xloadflags : 0x63, 2);
	put(f + 0x238, 2047, 4);
	put(f + 0x248, 256, 4);
	put(f + 0x24c, payload, 4);
	put(f + 0x258, 16 * MIB, 8);
	put(f + 0x260, k->init_size ? k->init_size : 16 * MIB, 4);
	*ret_size = SETUP_SIZE + (payload + 256 + 15) / 16 * 16;
	return f;
}
