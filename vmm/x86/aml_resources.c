/* SPDX-License-Identifier: Apache-2.0 */
/* Resource data types: ACPI 6.5, 6.4. */
#include <string.h>

#include "vmm/x86/aml.h"

#define TAG_IRQ	     0x22 /* small item 4, two bytes: no flags, so edge and active high */
#define TAG_IO	     0x47 /* small item 8, seven bytes */
#define TAG_END	     0x79
#define TAG_MEMORY32 0x86
#define TAG_DWORD    0x87
#define TAG_WORD     0x88
#define TAG_QWORD    0x8a

#define IO_DECODE16	0x01
#define MEMORY_RW	0x01
#define IO_ENTIRE_RANGE 0x03 /* ISA and other ports */
#define RANGE_FIXED	0x0c /* minimum and maximum are; positive decode; produces */
#define RANGE_CONSUMED	0x01
#define MEMORY_CACHED	0x02 /* table 6.48: cacheable */

static void put(struct aml_resources *res, uint64_t value, size_t len)
{
	/* The end tag must find room. */
	if (res->failed || len > sizeof(res->data) - 2 - res->used) {
		res->failed = true;
		return;
	}
	memcpy(res->data + res->used, &value, len);
	res->used += len;
}

void aml_res_io(struct aml_resources *res, uint16_t port, uint8_t count)
{
	put(res, TAG_IO, 1);
	put(res, IO_DECODE16, 1);
	put(res, port, 2);
	put(res, port, 2);
	put(res, 1, 1); /* alignment */
	put(res, count, 1);
}

void aml_res_irq(struct aml_resources *res, unsigned int irq)
{
	put(res, TAG_IRQ, 1);
	put(res, 1ULL << irq, 2);
}

void aml_res_memory32(struct aml_resources *res, uint32_t addr, uint32_t size)
{
	put(res, TAG_MEMORY32, 1);
	put(res, 9, 2); /* length of what follows */
	put(res, MEMORY_RW, 1);
	put(res, addr, 4);
	put(res, size, 4);
}

/* width: bytes of each number: 2, 4 or 8. flags: general ones, and those of the type. */
static void put_range(struct aml_resources *res, unsigned int tag, size_t width,
		      enum aml_range range, unsigned int general, unsigned int flags,
		      uint64_t first, uint64_t last)
{
	put(res, tag, 1);
	put(res, 3 + 5 * width, 2);
	put(res, range, 1);
	put(res, general, 1);
	put(res, flags, 1);
	put(res, 0, width); /* granularity */
	put(res, first, width);
	put(res, last, width);
	put(res, 0, width); /* translation */
	put(res, last - first + 1, width);
}

static void put_window(struct aml_resources *res, unsigned int tag, size_t width,
		       enum aml_range range, uint64_t first, uint64_t last)
{
	unsigned int flags = 0;

	if (range == AML_RANGE_MEMORY)
		flags = MEMORY_RW;
	else if (range == AML_RANGE_IO)
		flags = IO_ENTIRE_RANGE;
	put_range(res, tag, width, range, RANGE_FIXED, flags, first, last);
}

void aml_res_window16(struct aml_resources *res, enum aml_range range, uint16_t first,
		      uint16_t last)
{
	put_window(res, TAG_WORD, 2, range, first, last);
}

void aml_res_window32(struct aml_resources *res, enum aml_range range, uint32_t first,
		      uint32_t last)
{
	put_window(res, TAG_DWORD, 4, range, first, last);
}

void aml_res_window64(struct aml_resources *res, enum aml_range range, uint64_t first,
		      uint64_t last)
{
	put_window(res, TAG_QWORD, 8, range, first, last);
}

void aml_res_memory64(struct aml_resources *res, uint64_t first, uint64_t last)
{
	put_range(res, TAG_QWORD, 8, AML_RANGE_MEMORY, RANGE_FIXED | RANGE_CONSUMED,
		  MEMORY_RW | MEMORY_CACHED, first, last);
}

void aml_name_resources(struct aml *aml, const char *path, const struct aml_resources *res)
{
	uint8_t bytes[AML_RESOURCES_MAX];

	if (res->failed) {
		aml->failed = true;
		return;
	}
	memcpy(bytes, res->data, res->used);
	bytes[res->used] = TAG_END;
	bytes[res->used + 1] = 0; /* 6.4.2.9: a checksum of 0 is taken as right */
	aml_name(aml, path);
	aml_buffer(aml, bytes, res->used + 2);
}

void aml_crs(struct aml *aml, const struct aml_resources *res)
{
	aml_name_resources(aml, "_CRS", res);
}
