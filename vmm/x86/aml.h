/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing AML byte code (ACPI 6.5, chapter 20) and resource templates (6.4). A cursor with a sticky
 * error: what does not fit, or is nested too deeply, is told once, by aml_finish().
 */
#ifndef HOLDFAST_VMM_X86_AML_H
#define HOLDFAST_VMM_X86_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AML_DEPTH_MAX 8

struct aml {
	uint8_t *data; /* borrowed */
	size_t size, used;
	unsigned int depth;
	size_t open[AML_DEPTH_MAX]; /* where the bodies of the open objects start */
	bool failed;
};

/* Opcodes that callers write themselves with aml_op(): 20.3. */
enum aml_opcode {
	AML_LOCAL0 = 0x60,
	AML_ARG0 = 0x68,
	AML_ARG1 = 0x69,
	AML_ARG3 = 0x6b,
	AML_STORE = 0x70,
	AML_SHIFT_LEFT = 0x79,
	AML_AND = 0x7b,
	AML_OR = 0x7d,
	AML_NOTIFY = 0x86,
	AML_CREATE_DWORD_FIELD = 0x8a,
	AML_CREATE_QWORD_FIELD = 0x8f,
	AML_LOR = 0x91,
	AML_LNOT = 0x92,
	AML_LEQUAL = 0x93,
	AML_RETURN = 0xa4,
};

void aml_init(struct aml *aml, uint8_t *data, size_t size);
/* Bytes written; -ENOSPC: more than size; -EINVAL: unbalanced nesting (a bug in us). */
int aml_finish(const struct aml *aml, size_t *ret_used);

void aml_op(struct aml *aml, enum aml_opcode op);
/* The shortest encoding. */
void aml_integer(struct aml *aml, uint64_t value);
void aml_string(struct aml *aml, const char *text);
/* A buffer of these bytes. */
void aml_buffer(struct aml *aml, const void *data, size_t size);
/* "PNP0501" as the number that EisaId() makes of it (19.6.38). */
void aml_eisa_id(struct aml *aml, const char *id);
/* A name string: "_SB", "\\_S5", "_SB.PCI0"; segments are padded to four characters. */
void aml_path(struct aml *aml, const char *path);

/* Name(path, ...): the value comes next. */
void aml_name(struct aml *aml, const char *path);
void aml_name_integer(struct aml *aml, const char *path, uint64_t value);

/* Each is closed by aml_end(). */
void aml_begin_scope(struct aml *aml, const char *path);
void aml_begin_device(struct aml *aml, const char *name);
void aml_begin_method(struct aml *aml, const char *name, unsigned int args); /* serialized */
void aml_begin_package(struct aml *aml, unsigned int elements);
void aml_begin_if(struct aml *aml); /* the predicate comes next */
void aml_begin_else(struct aml *aml);
/* Fields of a region, from its start on, accessed by dwords without a lock (20.2.5.2). */
void aml_begin_field(struct aml *aml, const char *region);
void aml_end(struct aml *aml);

/* A region of I/O ports (19.6.99). */
void aml_io_region(struct aml *aml, const char *name, uint16_t port, uint16_t size);
/* Inside a field: the next 32 bits. name: four characters. */
void aml_field_dword(struct aml *aml, const char *name);

/* ---- Resource templates. ---- */

#define AML_RESOURCES_MAX 256

struct aml_resources {
	uint8_t data[AML_RESOURCES_MAX];
	size_t used;
	bool failed;
};

enum aml_range { AML_RANGE_MEMORY = 0, AML_RANGE_IO = 1, AML_RANGE_BUS = 2 };

/* Ports, 16-bit decode (6.4.2.5). */
void aml_res_io(struct aml_resources *res, uint16_t port, uint8_t count);
/* An ISA interrupt: edge, active high, not shared (6.4.2.1). */
void aml_res_irq(struct aml_resources *res, unsigned int irq);
/* Read-write memory (6.4.3.4). */
void aml_res_memory32(struct aml_resources *res, uint32_t addr, uint32_t size);
/*
 * Windows of a bridge, first to last, in the word, dword or qword form (6.4.3.5): fixed, positive
 * decode, produced; memory is read-write and not cacheable.
 */
void aml_res_window16(struct aml_resources *res, enum aml_range range, uint16_t first,
		      uint16_t last);
void aml_res_window32(struct aml_resources *res, enum aml_range range, uint32_t first,
		      uint32_t last);
void aml_res_window64(struct aml_resources *res, enum aml_range range, uint64_t first,
		      uint64_t last);

/* Memory itself, read-write and cacheable, which is consumed (6.4.3.5.1): RAM, not a window. */
void aml_res_memory64(struct aml_resources *res, uint64_t first, uint64_t last);

/* Name(path, ResourceTemplate() {...}) */
void aml_name_resources(struct aml *aml, const char *path, const struct aml_resources *res);
/* The same of the name _CRS. */
void aml_crs(struct aml *aml, const struct aml_resources *res);

#endif
