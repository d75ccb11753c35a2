/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Little-endian numbers in bytes that a specification lays out (PCI, virtio, the x86 boot
 * protocol), at any offset, on any host. The caller knows that they lie inside.
 */
#ifndef HOLDFAST_BASE_LE_H
#define HOLDFAST_BASE_LE_H

#include <stddef.h>
#include <stdint.h>

static inline uint16_t le_get16(const uint8_t *bytes, size_t offset)
{
	return (uint16_t)(bytes[offset] | bytes[offset + 1] << 8);
}

static inline uint32_t le_get32(const uint8_t *bytes, size_t offset)
{
	return le_get16(bytes, offset) | (uint32_t)le_get16(bytes, offset + 2) << 16;
}

static inline uint64_t le_get64(const uint8_t *bytes, size_t offset)
{
	return le_get32(bytes, offset) | (uint64_t)le_get32(bytes, offset + 4) << 32;
}

static inline void le_put16(uint8_t *bytes, size_t offset, uint16_t value)
{
	bytes[offset] = (uint8_t)value;
	bytes[offset + 1] = (uint8_t)(value >> 8);
}

static inline void le_put32(uint8_t *bytes, size_t offset, uint32_t value)
{
	le_put16(bytes, offset, (uint16_t)value);
	le_put16(bytes, offset + 2, (uint16_t)(value >> 16));
}

static inline void le_put64(uint8_t *bytes, size_t offset, uint64_t value)
{
	le_put32(bytes, offset, (uint32_t)value);
	le_put32(bytes, offset + 4, (uint32_t)(value >> 32));
}

#endif
