/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walker of split and packed rings, on memory where a guest may put anything at any moment. The
 * first bytes say what kind of ring; then operations of guest and device follow in any order.
 */
#include "devices/virtio/virtqueue.h"
#include "tests/fuzz/fuzz_machine.h"

#define DESC	 FUZZ_RAM_BASE
#define DRIVER	 (FUZZ_RAM_BASE + 0x1000)
#define DEVICE	 (FUZZ_RAM_BASE + 0x2000)
#define INDIRECT (FUZZ_RAM_BASE + 0x3000)
#define CHAINS	 4
#define SEGMENTS 8

/* virtio 1.2, 2.8.1: availability of a packed descriptor. */
#define FLAG_AVAIL 7
#define FLAG_USED  15

enum {
	OP_RAM,	  /* offset, 2 bytes */
	OP_DESC,  /* index, where (ring or indirect table), address, length, flags, next */
	OP_OFFER, /* split: head; packed: index */
	OP_POP,	  /* chain */
	OP_PUSH,  /* chain, length */
	OP_UNPOP,
	OP_PUBLISH,
	OP_DOORBELL, /* off or on */
	OP_ROUND_TRIP,
	OP_LOAD,
	OP_RESTART,
	OP_COUNT,
};

struct walker {
	struct fuzz_machine m;
	struct virtqueue *vq, *other;
	struct virtqueue_config config;
	struct virtqueue_chain *chains[CHAINS];
	bool taken[CHAINS];
	int last; /* the last popped, -1: none that may be given back */
	uint16_t avail_idx;
	bool wrap;
};

static struct walker *walking; /* for the state's load */

static int save(const void *obj, struct state_writer *w, struct error *err _unused_)
{
	virtqueue_save(obj, w);
	return 0;
}

static int load(void *obj, uint32_t version _unused_, struct state_reader *r, enum state_mode mode,
		struct error *err)
{
	virtqueue_load(obj, &walking->config, r, mode);
	return state_reader_done(r, err);
}

static const struct state_ops ops = {
	.name = "queue", .version = 1, .min_version = 1, .save = save, .load = load};

static void put(struct walker *w, uint64_t gpa, const void *data, size_t size)
{
	void *to = fuzz_ram(&w->m, gpa, size);

	if (to)
		memcpy(to, data, size);
}

/* Both kinds of descriptor begin with address and length (2.7.5, 2.8.13). */
static void write_desc(struct walker *w, struct fuzz_input *in)
{
	unsigned int index = fuzz_u8(in) % 64;
	uint64_t at = (fuzz_u8(in) & 1 ? INDIRECT : DESC) + index * 16U;
	uint64_t address = FUZZ_RAM_BASE + fuzz_u16(in);
	uint32_t len = fuzz_u16(in);
	uint16_t flags = fuzz_u8(in) & 7, other = fuzz_u8(in);

	if (len & 0x8000)
		len |= 0xffff0000U;
	put(w, at, &address, 8);
	put(w, at + 8, &len, 4);
	if (w->config.packed) {
		flags |= (uint16_t)(w->wrap << FLAG_AVAIL | !w->wrap << FLAG_USED);
		put(w, at + 12, &other, 2);
		put(w, at + 14, &flags, 2);
	} else {
		put(w, at + 12, &flags, 2);
		put(w, at + 14, &other, 2);
	}
}

/* Split: into the available ring. Packed: the other lap begins. */
static void offer(struct walker *w, struct fuzz_input *in)
{
	uint16_t head = fuzz_u8(in);

	if (w->config.packed) {
		w->wrap = !w->wrap;
		return;
	}
	put(w, DRIVER + 4 + 2U * (w->avail_idx % w->config.size), &head, 2);
	w->avail_idx++;
	put(w, DRIVER + 2, &w->avail_idx, 2);
}

/* What a device may rely on. */
static void check_chain(const struct walker *w, const struct virtqueue_chain *chain)
{
	size_t out = 0, all = 0;

	must(chain->out_count + chain->in_count <= SEGMENTS);
	for (unsigned int i = 0; i < chain->out_count + (unsigned int)chain->in_count; i++) {
		const uint8_t *base = chain->iov[i].iov_base;
		size_t len = chain->iov[i].iov_len;

		must(len > 0 && base >= w->m.ram && base < w->m.ram + FUZZ_RAM_SIZE);
		must(len <= (size_t)(w->m.ram + FUZZ_RAM_SIZE - base));
		all += len;
		if (i < chain->out_count)
			out += len;
	}
	must(out == chain->out_bytes && all - out == chain->in_bytes);
}

static void pop(struct walker *w, unsigned int i)
{
	struct error err = ERROR_INIT;
	uint8_t bytes[64];
	int r;

	if (w->taken[i])
		return;
	r = virtqueue_pop(w->vq, w->chains[i], &err);
	must(r == 1 || r == 0 || r == -EPROTO);
	if (r < 0)
		must(virtqueue_broken(w->vq) && err.message[0]);
	if (r <= 0)
		return;
	check_chain(w, w->chains[i]);
	virtqueue_chain_read(w->chains[i], 3, bytes, sizeof(bytes));
	virtqueue_chain_write(w->chains[i], 3, bytes, sizeof(bytes));
	w->taken[i] = true;
	w->last = (int)i;
}

static void push(struct walker *w, unsigned int i, unsigned int len)
{
	if (!w->taken[i])
		return;
	virtqueue_push(w->vq, w->chains[i], (uint32_t)MIN_OF(w->chains[i]->in_bytes, len));
	w->taken[i] = false;
	w->last = -1;
}

static void restart(struct walker *w)
{
	virtqueue_reset(w->vq);
	memset(w->taken, 0, sizeof(w->taken));
	w->last = -1;
	w->avail_idx = 0;
	w->wrap = true;
	put(w, DRIVER + 2, &w->avail_idx, 2);
	must(virtqueue_enable(w->vq, &w->config, NULL) == 0);
}

/* Also what is in flight, each buffer by itself. */
static void round_trip(struct walker *w)
{
	struct fuzz_device d = {.state = &ops, .obj = w->vq, .other = w->other};

	virtqueue_publish(w->vq);
	fuzz_round_trip(&d);
	must(virtqueue_loaded_in_flight(w->other) == virtqueue_in_flight(w->vq));
	must(virtqueue_broken(w->other) == virtqueue_broken(w->vq));
	virtqueue_reset(w->other);
}

static void load_changed(struct walker *w, struct fuzz_input *in)
{
	struct virtqueue_chain *chain = virtqueue_chain_new(SEGMENTS);
	struct saved s;

	virtqueue_publish(w->vq);
	s = device_save(&ops, w->vq);
	must(chain);
	must_load(&ops, w->other, &s);
	fuzz_load_nested(&ops, w->other, in);
	/* A ring that is where nobody was: the walker goes on with it all the same. */
	for (unsigned int i = 0; i < 8 && virtqueue_pop(w->other, chain, NULL) == 1; i++) {
		check_chain(w, chain);
		virtqueue_push(w->other, chain, 0);
	}
	virtqueue_publish(w->other);
	virtqueue_reset(w->other);
	virtqueue_chain_free(chain);
	saved_free(&s);
}

static void device_op(struct walker *w, struct fuzz_input *in, uint8_t op)
{
	switch (op) {
	case OP_POP:
		pop(w, fuzz_u8(in) % CHAINS);
		break;
	case OP_PUSH:
		push(w, fuzz_u8(in) % CHAINS, fuzz_u16(in));
		break;
	case OP_UNPOP:
		if (w->last < 0)
			break;
		virtqueue_unpop(w->vq, w->chains[w->last]);
		w->taken[w->last] = false;
		w->last = -1;
		break;
	case OP_PUBLISH:
		virtqueue_publish(w->vq);
		break;
	default:
		if (fuzz_u8(in) & 1)
			virtqueue_disable_doorbell(w->vq);
		else
			virtqueue_enable_doorbell(w->vq);
		break;
	}
}

static void one_op(struct walker *w, struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in) % OP_COUNT;
	unsigned int offset;
	uint16_t value;

	switch (op) {
	case OP_RAM:
		offset = fuzz_u16(in) & ~1U;
		value = (uint16_t)fuzz_u16(in);
		put(w, FUZZ_RAM_BASE + offset, &value, 2);
		break;
	case OP_DESC:
		write_desc(w, in);
		break;
	case OP_OFFER:
		offer(w, in);
		break;
	case OP_ROUND_TRIP:
		round_trip(w);
		break;
	case OP_LOAD:
		load_changed(w, in);
		break;
	case OP_RESTART:
		restart(w);
		break;
	default:
		device_op(w, in, op);
		break;
	}
}

static void make(struct walker *w, struct fuzz_input *in)
{
	uint8_t kind = fuzz_u8(in), size = fuzz_u8(in);

	memset(w, 0, sizeof(*w));
	fuzz_machine_init(&w->m);
	w->config = (struct virtqueue_config){.desc = DESC,
					      .driver = DRIVER,
					      .device = DEVICE,
					      .packed = kind & 1,
					      .event_idx = kind & 2,
					      .indirect = kind & 4};
	w->config.size = (uint16_t)(kind & 1 ? 1 + size % 64 : 1U << size % 7);
	for (unsigned int i = 0; i < CHAINS; i++) {
		w->chains[i] = virtqueue_chain_new(SEGMENTS);
		must(w->chains[i]);
	}
	must(virtqueue_new(&w->m.attach.memory, NULL, &w->vq, NULL) == 0);
	must(virtqueue_new(&w->m.attach.memory, NULL, &w->other, NULL) == 0);
	walking = w;
	restart(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {.data = data, .size = size};
	struct walker w;

	fuzz_quiet();
	make(&w, &in);
	for (unsigned int i = 0; i < FUZZ_OPS_MAX && in.size > 0; i++) {
		one_op(&w, &in);
		must(virtqueue_in_flight(w.vq) <= w.config.size);
	}
	for (unsigned int i = 0; i < CHAINS; i++)
		virtqueue_chain_free(w.chains[i]);
	virtqueue_free(w.vq);
	virtqueue_free(w.other);
	fuzz_machine_done(&w.m);
	return 0;
}
