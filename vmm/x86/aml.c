/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "vmm/x86/aml.h"

/* ACPI 6.5, 20.2 and 20.3. */
#define OP_ZERO	       0x00
#define OP_ONE	       0x01
#define OP_NAME	       0x08
#define OP_BYTE	       0x0a
#define OP_WORD	       0x0b
#define OP_DWORD       0x0c
#define OP_STRING      0x0d
#define OP_QWORD       0x0e
#define OP_SCOPE       0x10
#define OP_BUFFER      0x11
#define OP_PACKAGE     0x12
#define OP_METHOD      0x14
#define OP_DUAL_NAME   0x2e
#define OP_MULTI_NAME  0x2f
#define OP_EXT	       0x5b
#define OP_EXT_REGION  0x80
#define OP_EXT_FIELD   0x81
#define OP_EXT_DEVICE  0x82
#define OP_IF	       0xa0
#define OP_ELSE	       0xa1
#define SPACE_IO       1U
#define FIELD_DWORDS   0x43U /* DWordAcc, NoLock, WriteAsZeros */
#define FIELD_BITS     32U   /* of one, as a PkgLength of one byte */
#define SEGMENT	       4U
#define METHOD_SERIAL  0x08U /* of MethodFlags */
#define PKG_LENGTH_MAX (1U << 28)

void aml_init(struct aml *aml, uint8_t *data, size_t size)
{
	*aml = (struct aml){.data = data, .size = size};
}

int aml_finish(const struct aml *aml, size_t *ret_used)
{
	if (aml->failed)
		return -ENOSPC;
	if (aml->depth != 0)
		return -EINVAL;
	*ret_used = aml->used;
	return 0;
}

static void put(struct aml *aml, const void *bytes, size_t len)
{
	if (aml->failed || len > aml->size - aml->used) {
		aml->failed = true;
		return;
	}
	memcpy(aml->data + aml->used, bytes, len);
	aml->used += len;
}

static void put_byte(struct aml *aml, unsigned int byte)
{
	uint8_t b = (uint8_t)byte;

	put(aml, &b, 1);
}

void aml_op(struct aml *aml, enum aml_opcode op)
{
	put_byte(aml, op);
}

void aml_integer(struct aml *aml, uint64_t value)
{
	if (value <= 1) {
		put_byte(aml, value ? OP_ONE : OP_ZERO);
	} else if (value <= UINT8_MAX) {
		put_byte(aml, OP_BYTE);
		put(aml, &value, 1); /* little-endian, as this machine is */
	} else if (value <= UINT16_MAX) {
		put_byte(aml, OP_WORD);
		put(aml, &value, 2);
	} else if (value <= UINT32_MAX) {
		put_byte(aml, OP_DWORD);
		put(aml, &value, 4);
	} else {
		put_byte(aml, OP_QWORD);
		put(aml, &value, 8);
	}
}

void aml_string(struct aml *aml, const char *text)
{
	put_byte(aml, OP_STRING);
	put(aml, text, strlen(text) + 1);
}

static unsigned int hex_digit(char c)
{
	return (unsigned int)(isdigit((unsigned char)c) ? c - '0' : c - 'A' + 10) & 0xfU;
}

void aml_eisa_id(struct aml *aml, const char *id)
{
	unsigned int vendor, product;
	uint8_t bytes[4];

	if (strlen(id) != 7) {
		aml->failed = true;
		return;
	}
	vendor = ((unsigned int)(id[0] - '@') & 0x1fU) << 10 |
		 ((unsigned int)(id[1] - '@') & 0x1fU) << 5 | ((unsigned int)(id[2] - '@') & 0x1fU);
	product = hex_digit(id[3]) << 12 | hex_digit(id[4]) << 8 | hex_digit(id[5]) << 4 |
		  hex_digit(id[6]);
	/* Both halves big-endian inside a little-endian number. */
	bytes[0] = (uint8_t)(vendor >> 8);
	bytes[1] = (uint8_t)vendor;
	bytes[2] = (uint8_t)(product >> 8);
	bytes[3] = (uint8_t)product;
	put_byte(aml, OP_DWORD);
	put(aml, bytes, sizeof(bytes));
}

void aml_path(struct aml *aml, const char *path)
{
	unsigned int segments = 1;

	if (*path == '\\')
		put_byte(aml, (unsigned char)*path++);
	for (const char *p = path; *p; p++)
		segments += *p == '.';
	if (segments == 2) {
		put_byte(aml, OP_DUAL_NAME);
	} else if (segments > 2) {
		put_byte(aml, OP_MULTI_NAME);
		put_byte(aml, segments);
	}
	while (segments-- > 0) {
		size_t len = strcspn(path, ".");

		if (len == 0 || len > SEGMENT) {
			aml->failed = true;
			return;
		}
		put(aml, path, len);
		put(aml, "____", SEGMENT - len);
		path += len + (path[len] == '.');
	}
}

void aml_name(struct aml *aml, const char *path)
{
	put_byte(aml, OP_NAME);
	aml_path(aml, path);
}

void aml_name_integer(struct aml *aml, const char *path, uint64_t value)
{
	aml_name(aml, path);
	aml_integer(aml, value);
}

/* After the opcode: what follows until aml_end() gets a PkgLength in front. */
static void begin(struct aml *aml)
{
	if (aml->depth >= AML_DEPTH_MAX) {
		aml->failed = true;
		return;
	}
	aml->open[aml->depth++] = aml->used;
}

/* 20.2.4: bits 7-6 of the first byte count the bytes that follow; PkgLength counts itself. */
static unsigned int encode_pkg_length(size_t body, uint8_t out[4])
{
	size_t length = body + 1;

	if (length <= 0x3f) {
		out[0] = (uint8_t)length;
		return 1;
	}
	for (unsigned int more = 1; more <= 3; more++) {
		length = body + 1 + more;
		if (length >> (4 + 8 * more) != 0)
			continue;
		out[0] = (uint8_t)(more << 6 | (length & 0xf));
		for (unsigned int i = 1; i <= more; i++)
			out[i] = (uint8_t)(length >> (4 + 8 * (i - 1)));
		return 1 + more;
	}
	return 0;
}

void aml_end(struct aml *aml)
{
	uint8_t length[4];
	unsigned int n;
	size_t start, body;

	if (aml->failed || aml->depth == 0) {
		aml->failed = true;
		return;
	}
	start = aml->open[--aml->depth];
	body = aml->used - start;
	n = body < PKG_LENGTH_MAX - 4 ? encode_pkg_length(body, length) : 0;
	if (n == 0 || n > aml->size - aml->used) {
		aml->failed = true;
		return;
	}
	memmove(aml->data + start + n, aml->data + start, body);
	memcpy(aml->data + start, length, n);
	aml->used += n;
}

void aml_buffer(struct aml *aml, const void *data, size_t size)
{
	put_byte(aml, OP_BUFFER);
	begin(aml);
	aml_integer(aml, size);
	put(aml, data, size);
	aml_end(aml);
}

void aml_begin_scope(struct aml *aml, const char *path)
{
	put_byte(aml, OP_SCOPE);
	begin(aml);
	aml_path(aml, path);
}

void aml_begin_device(struct aml *aml, const char *name)
{
	put_byte(aml, OP_EXT);
	put_byte(aml, OP_EXT_DEVICE);
	begin(aml);
	aml_path(aml, name);
}

void aml_begin_method(struct aml *aml, const char *name, unsigned int args)
{
	put_byte(aml, OP_METHOD);
	begin(aml);
	aml_path(aml, name);
	put_byte(aml, args | METHOD_SERIAL);
}

void aml_begin_package(struct aml *aml, unsigned int elements)
{
	put_byte(aml, OP_PACKAGE);
	begin(aml);
	put_byte(aml, elements);
}

void aml_begin_if(struct aml *aml)
{
	put_byte(aml, OP_IF);
	begin(aml);
}

void aml_begin_else(struct aml *aml)
{
	put_byte(aml, OP_ELSE);
	begin(aml);
}

void aml_io_region(struct aml *aml, const char *name, uint16_t port, uint16_t size)
{
	put_byte(aml, OP_EXT);
	put_byte(aml, OP_EXT_REGION);
	aml_path(aml, name);
	put_byte(aml, SPACE_IO);
	aml_integer(aml, port);
	aml_integer(aml, size);
}

void aml_begin_field(struct aml *aml, const char *region)
{
	put_byte(aml, OP_EXT);
	put_byte(aml, OP_EXT_FIELD);
	begin(aml);
	aml_path(aml, region);
	put_byte(aml, FIELD_DWORDS);
}

void aml_field_dword(struct aml *aml, const char *name)
{
	aml_path(aml, name);
	put_byte(aml, FIELD_BITS);
}
