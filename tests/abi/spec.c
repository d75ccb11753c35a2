/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/abi/spec.h"

#include <stdlib.h>
#include <string.h>

static uint8_t *at(struct spec *s, uint64_t pa, size_t len)
{
	if (pa < s->base || pa - s->base > s->size - len)
		abort();
	return s->bytes + (pa - s->base);
}

uint64_t spec_pages(struct spec *s, unsigned int pages)
{
	uint64_t size = (uint64_t)pages * SPEC_PAGE, pa = (s->next + size - 1) / size * size;

	s->next = pa + size;
	at(s, pa, size);
	return pa;
}

void spec_u64(struct spec *s, uint64_t pa, uint64_t value)
{
	memcpy(at(s, pa, 8), &value, 8);
}

void spec_u32(struct spec *s, uint64_t pa, uint32_t value)
{
	memcpy(at(s, pa, 4), &value, 4);
}

void spec_u16(struct spec *s, uint64_t pa, uint16_t value)
{
	memcpy(at(s, pa, 2), &value, 2);
}

void spec_text(struct spec *s, uint64_t pa, const char *text)
{
	memcpy(at(s, pa, strlen(text) + 1), text, strlen(text) + 1);
}

/*
 * kexec_handover.h, "persistent memory tracker": the key's bits 59:51, 50:42, 41:33, 32:24 and
 * 23:15 choose the entry in levels 5 to 1, bits 14:0 the bit in level 0.
 */
void spec_preserve(struct spec *s, uint64_t root, uint64_t pa, unsigned int order)
{
	static const unsigned int lowest[] = {51, 42, 33, 24, 15};
	uint64_t key = (UINT64_C(1) << (52 - order)) | (pa >> (12 + order)), node = root;
	uint8_t *byte;

	for (size_t i = 0; i < 5; i++) {
		uint64_t entry = node + ((key >> lowest[i]) & 0x1ff) * 8, child;

		memcpy(&child, at(s, entry, 8), 8);
		if (child == 0) {
			child = spec_pages(s, 1);
			spec_u64(s, entry, child);
		}
		node = child;
	}
	byte = at(s, node + (key & 0x7fff) / 8, 1);
	*byte = (uint8_t)(*byte | 1U << (key % 8));
}

static void be32(uint8_t *to, size_t value)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void token(struct spec_tree *t, size_t value)
{
	be32(t->structure + t->structure_size, value);
	t->structure_size += 4;
}

static void padded(struct spec_tree *t, const void *data, size_t size)
{
	memcpy(t->structure + t->structure_size, data, size);
	t->structure_size += (size + 3) / 4 * 4;
}

void spec_begin(struct spec_tree *t, const char *node)
{
	token(t, 1); /* FDT_BEGIN_NODE */
	padded(t, node, strlen(node) + 1);
}

void spec_end(struct spec_tree *t)
{
	token(t, 2); /* FDT_END_NODE */
}

/* The name's distance from the end of the strings; they are turned round when all are known. */
static size_t string_from_end(struct spec_tree *t, const char *name)
{
	char *end = t->strings + sizeof(t->strings);
	const char *p = end - t->strings_size;

	for (; p < end; p += strlen(p) + 1)
		if (strcmp(p, name) == 0)
			return (size_t)(end - p);
	t->strings_size += strlen(name) + 1;
	memcpy(end - t->strings_size, name, strlen(name) + 1);
	return t->strings_size;
}

void spec_prop(struct spec_tree *t, const char *name, const void *value, size_t size)
{
	token(t, 3); /* FDT_PROP */
	token(t, size);
	token(t, string_from_end(t, name));
	padded(t, value, size);
}

void spec_prop_text(struct spec_tree *t, const char *name, const char *value)
{
	spec_prop(t, name, value, strlen(value) + 1);
}

void spec_prop_u64(struct spec_tree *t, const char *name, uint64_t value)
{
	spec_prop(t, name, &value, sizeof(value));
}

static uint32_t get_be32(const uint8_t *from)
{
	return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static void fix_names(struct spec_tree *t)
{
	uint8_t *p = t->structure, *end = p + t->structure_size;

	while (p < end) {
		uint32_t what = get_be32(p);

		p += 4;
		if (what == 1) {
			p += (strlen((const char *)p) + 4) / 4 * 4;
		} else if (what == 3) {
			be32(p + 4, t->strings_size - get_be32(p + 4));
			p += 8 + (get_be32(p) + 3) / 4 * 4;
		}
	}
}

size_t spec_finish(struct spec *s, struct spec_tree *t, uint64_t pa)
{
	/* The reservation block on a multiple of its own 16 bytes, as libfdt places it. */
	const size_t reserve = 48, structure = reserve + 16;
	size_t strings, total;
	uint8_t *to;

	token(t, 9); /* FDT_END */
	fix_names(t);
	strings = structure + t->structure_size;
	total = strings + t->strings_size;
	to = at(s, pa, total);
	be32(to, 0xd00dfeed);
	be32(to + 4, total);
	be32(to + 8, structure);
	be32(to + 12, strings);
	be32(to + 16, reserve);
	be32(to + 20, 17); /* version */
	be32(to + 24, 16); /* last_comp_version */
	be32(to + 28, 0);  /* boot_cpuid_phys */
	be32(to + 32, t->strings_size);
	be32(to + 36, t->structure_size);
	memcpy(to + structure, t->structure, t->structure_size);
	memcpy(to + strings, t->strings + sizeof(t->strings) - t->strings_size, t->strings_size);
	return total;
}
