/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers: what descriptors point to, checked piece by piece. */
#include <string.h>

#include "base/util.h"
#include "devices/virtio/virtqueue_impl.h"

/* 2.7.13.1 and 2.8.15: all of a buffer's bytes together. */
#define TOTAL_MAX (1ULL << 32)

struct virtqueue_chain *virtqueue_chain_new(unsigned int capacity)
{
	struct virtqueue_chain *chain;

	if (capacity == 0 || capacity > VIRTQUEUE_SEGMENTS_MAX)
		return NULL;
	chain = calloc(1, sizeof(*chain) + capacity * (sizeof(struct iovec) +
						       sizeof(struct virtqueue_segment)));
	if (!chain)
		return NULL;
	chain->capacity = capacity;
	chain->segments = (struct virtqueue_segment *)(void *)&chain->iov[capacity];
	chain_clear(chain);
	return chain;
}

void virtqueue_chain_free(struct virtqueue_chain *chain)
{
	free(chain);
}

static size_t copy(const struct iovec *iov, unsigned int count, size_t offset, void *buf,
		   size_t size, bool to_guest)
{
	size_t done = 0;

	for (unsigned int i = 0; i < count && done < size; i++) {
		size_t len;
		uint8_t *at;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		len = MIN_OF(size - done, iov[i].iov_len - offset);
		at = (uint8_t *)iov[i].iov_base + offset;
		if (to_guest)
			memcpy(at, (uint8_t *)buf + done, len);
		else
			memcpy((uint8_t *)buf + done, at, len);
		done += len;
		offset = 0;
	}
	return done;
}

size_t virtqueue_chain_read(const struct virtqueue_chain *chain, size_t offset, void *buf,
			    size_t size)
{
	return copy(chain->out, chain->out_count, offset, buf, size, false);
}

size_t virtqueue_chain_write(const struct virtqueue_chain *chain, size_t offset, const void *buf,
			     size_t size)
{
	/* Only read from in this direction. */
	return copy(chain->in, chain->in_count, offset, (void *)(uintptr_t)buf, size, true);
}

static void *guest_ptr(const struct virtqueue *vq, uint64_t gpa, uint64_t len)
{
	return vq->memory.ptr(vq->memory.opaque, gpa, len);
}

/* The longest piece from gpa on that lies in one region of RAM, for a buffer that crosses the seam
 * of two. */
static uint32_t longest_piece(const struct virtqueue *vq, uint64_t gpa, uint32_t len)
{
	uint32_t good = 0, bad = len; /* good fits, bad does not */

	while (bad - good > 1) {
		uint32_t middle = good + (bad - good) / 2;

		if (guest_ptr(vq, gpa, middle))
			good = middle;
		else
			bad = middle;
	}
	return good;
}

static bool add_piece(struct virtqueue_chain *chain, uint64_t gpa, void *ptr, uint32_t len,
		      bool write)
{
	unsigned int i = chain->out_count + chain->in_count;

	if (i >= chain->capacity)
		return false;
	chain->iov[i] = (struct iovec){ptr, len};
	chain->segments[i] = (struct virtqueue_segment){gpa, len};
	if (write) {
		chain->in_count++;
		chain->in_bytes += len;
	} else {
		chain->out_count++;
		chain->out_bytes += len;
	}
	return true;
}

/* -EFAULT: not RAM. -E2BIG: no room in the chain. */
static int add_range(struct virtqueue *vq, struct virtqueue_chain *chain, uint64_t gpa,
		     uint32_t len, bool write)
{
	while (len > 0) {
		uint32_t piece = len;
		void *ptr = guest_ptr(vq, gpa, len);

		if (!ptr) {
			piece = longest_piece(vq, gpa, len);
			ptr = piece ? guest_ptr(vq, gpa, piece) : NULL;
		}
		if (!ptr)
			return -EFAULT;
		if (!add_piece(chain, gpa, ptr, piece, write))
			return -E2BIG;
		gpa += piece;
		len -= piece;
	}
	return 0;
}

int vq_add(struct virtqueue *vq, struct virtqueue_chain *chain, const struct vq_desc *desc,
	   struct error *err)
{
	bool write = desc->flags & VQ_DESC_WRITE;
	int r;

	/* 2.7.4.2: all readable ones come before the first writable one. */
	if (!write && chain->in_count)
		return vq_fail(vq, err, "a readable descriptor after a writable one");
	if (chain->out_bytes + chain->in_bytes + desc->len > TOTAL_MAX)
		return vq_fail(vq, err, "a buffer of more than 4 GiB");
	r = add_range(vq, chain, desc->addr, desc->len, write);
	if (r == -E2BIG)
		return vq_fail(vq, err, "a buffer of more than %u segments", chain->capacity);
	if (r < 0)
		return vq_fail(vq, err, "a descriptor of %u bytes at 0x%llx: not guest RAM",
			       desc->len, (unsigned long long)desc->addr);
	return 0;
}

/* 2.7.5.3 and 2.8.7. */
int vq_indirect(struct virtqueue *vq, const struct vq_desc *desc, const uint64_t **ret_table,
		uint32_t *ret_count, struct error *err)
{
	const void *table;

	if (!vq->config.indirect)
		return vq_fail(vq, err, "an indirect descriptor that was not negotiated");
	if (desc->flags & VQ_DESC_NEXT)
		return vq_fail(vq, err, "an indirect descriptor with a next one");
	if (desc->len == 0 || desc->len % VQ_DESC_SIZE)
		return vq_fail(vq, err, "an indirect table of %u bytes", desc->len);
	table = guest_ptr(vq, desc->addr, desc->len);
	if (!table)
		return vq_fail(vq, err, "an indirect table of %u bytes at 0x%llx: not guest RAM",
			       desc->len, (unsigned long long)desc->addr);
	/* Descriptors are copied as two qwords. */
	if ((uintptr_t)table % sizeof(uint64_t))
		return vq_fail(vq, err, "an indirect table at 0x%llx: not aligned",
			       (unsigned long long)desc->addr);
	*ret_table = table;
	*ret_count = desc->len / VQ_DESC_SIZE;
	return 0;
}

void virtqueue_chain_save(const struct virtqueue_chain *chain, struct state_writer *w)
{
	unsigned int count = chain->out_count + chain->in_count;
	uint64_t values[2 * VIRTQUEUE_SEGMENTS_MAX];

	for (unsigned int i = 0; i < count; i++) {
		values[2 * i] = chain->segments[i].gpa;
		values[2 * i + 1] = chain->segments[i].len;
	}
	state_put_u32(w, "id", chain->id);
	state_put_u32(w, "slots", chain->slots);
	state_put_u32(w, "readable", chain->out_count);
	state_put_u32(w, "writable", chain->in_count);
	state_put_u64s(w, "segments", values, 2 * (size_t)count);
}

void virtqueue_chain_load(struct virtqueue *vq, struct virtqueue_chain *chain,
			  struct state_reader *r)
{
	uint64_t values[2 * VIRTQUEUE_SEGMENTS_MAX];
	uint32_t readable, writable;

	chain_clear(chain);
	chain->id = (uint16_t)state_get_u32_max(r, "id", UINT16_MAX);
	chain->slots = (uint16_t)state_get_u32_max(r, "slots", VIRTQUEUE_SIZE_MAX);
	readable = state_get_u32_max(r, "readable", chain->capacity);
	writable = state_get_u32_max(r, "writable", chain->capacity - readable);
	state_get_u64s(r, "segments", values, 2 * (size_t)(readable + writable));
	state_require(r, chain->slots > 0, "a buffer in no slots");
	for (uint32_t i = 0; i < readable + writable && !r->code; i++) {
		uint64_t gpa = values[2 * i], len = values[2 * i + 1];

		state_require(r,
			      len > 0 && len <= UINT32_MAX &&
				      chain->out_bytes + chain->in_bytes + len <= TOTAL_MAX &&
				      add_range(vq, chain, gpa, (uint32_t)len, i >= readable) == 0,
			      "segment %u: not guest RAM", i);
	}
	chain->in = chain->iov + chain->out_count;
	if (vq->enabled && !r->code)
		vq_set_id_in_flight(vq, chain->id, true);
}
