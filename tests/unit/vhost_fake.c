/* SPDX-License-Identifier: Apache-2.0 */
/* Written from linux/vhost.h and what Linux 7.3 does with it (drivers/vhost), split rings from
 * virtio 1.2, 2.7. */
#include "tests/unit/vhost_fake.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/state_copy.h"

/* NOTIFY_ON_EMPTY 24, LOG_ALL 26, ANY_LAYOUT 27, INDIRECT 28, EVENT_IDX 29, VERSION_1 32,
 * ACCESS_PLATFORM 33; SEQPACKET 1. */
#define OFFERED                                                                        \
	(1ULL << 24 | 1ULL << 26 | 1ULL << 27 | 1ULL << 28 | 1ULL << 29 | 1ULL << 32 | \
	 1ULL << 33 | 1ULL << 1)
#define DESC_NEXT     1U
#define DESC_WRITE    2U
#define DESC_INDIRECT 4U

struct vhost_fake vhost_fake;
uint8_t vhost_fake_sent[64];
/* Those that are not shown, the one whose owner came last first. */
static struct vhost_fake others[VHOST_FAKE_DEVICES - 1];

/* What is set for all devices stays. */
static void swap(struct vhost_fake *other)
{
	struct vhost_fake shown = vhost_fake;

	vhost_fake = *other;
	vhost_fake.features = shown.features;
	vhost_fake.backend_features = shown.backend_features;
	vhost_fake.starts = shown.starts;
	vhost_fake.stops = shown.stops;
	vhost_fake.count = shown.count;
	vhost_fake.refuse = shown.refuse;
	vhost_fake.refuse_errno = shown.refuse_errno;
	vhost_fake.refuse_after = shown.refuse_after;
	*other = shown;
}

void vhost_fake_show(unsigned int number)
{
	for (unsigned int i = 0; vhost_fake.number != number; i++) {
		must(i < VHOST_FAKE_DEVICES - 1);
		if (others[i].fd >= 0 && others[i].number == number)
			swap(&others[i]);
	}
}

static void show_fd(int fd)
{
	for (unsigned int i = 0; i < VHOST_FAKE_DEVICES - 1 && vhost_fake.fd != fd; i++) {
		if (others[i].fd == fd)
			swap(&others[i]);
	}
}

static void forget(void)
{
	struct vhost_fake *f = &vhost_fake;

	f->fd = -1;
	f->acked = f->backend_acked = f->cid = 0;
	f->regions = 0;
	f->running = false;
	memset(f->rings, 0, sizeof(f->rings));
	for (unsigned int i = 0; i < VHOST_FAKE_RINGS; i++)
		f->rings[i].kick = f->rings[i].call = f->rings[i].err = f->rings[i].backend = -1;
}

/* A device more, in the place of one with that descriptor, which was closed then. */
static void begin(int fd)
{
	unsigned int free_place = VHOST_FAKE_DEVICES, count = vhost_fake.count;

	show_fd(fd);
	for (unsigned int i = 0; i < VHOST_FAKE_DEVICES - 1; i++) {
		if (others[i].fd < 0 || fcntl(others[i].fd, F_GETFD) < 0)
			free_place = i;
	}
	if (vhost_fake.fd >= 0 && vhost_fake.fd != fd && fcntl(vhost_fake.fd, F_GETFD) >= 0) {
		must(free_place < VHOST_FAKE_DEVICES);
		swap(&others[free_place]);
	}
	forget();
	vhost_fake.fd = fd;
	vhost_fake.number = count;
	vhost_fake.count = count + 1;
}

void vhost_fake_init(void)
{
	memset(&vhost_fake, 0, sizeof(vhost_fake));
	memset(others, 0, sizeof(others));
	for (unsigned int i = 0; i < VHOST_FAKE_DEVICES - 1; i++)
		others[i].fd = -1;
	memset(vhost_fake_sent, 0, sizeof(vhost_fake_sent));
	vhost_fake.features = OFFERED;
	vhost_fake.backend_features = 1U << VHOST_BACKEND_F_IOTLB_MSG_V2;
	forget();
}

/* Bytes of guest memory by the guest's address; NULL: not all of it is there. */
static uint8_t *guest(uint64_t gpa, uint64_t len)
{
	for (unsigned int i = 0; i < vhost_fake.regions; i++) {
		uint64_t start = vhost_fake.region[i].gpa, size = vhost_fake.region[i].size;

		if (gpa >= start && gpa - start < size && len <= size - (gpa - start))
			return (uint8_t *)(uintptr_t)(vhost_fake.region[i].hva + (gpa - start));
	}
	return NULL;
}

static bool mapped(uint64_t hva, uint64_t len)
{
	for (unsigned int i = 0; i < vhost_fake.regions; i++) {
		uint64_t start = vhost_fake.region[i].hva, size = vhost_fake.region[i].size;

		if (hva >= start && hva - start < size && len <= size - (hva - start))
			return true;
	}
	return false;
}

static bool accessible(const struct vhost_fake_ring *r)
{
	return r->num && mapped(r->desc, 16ULL * r->num) && mapped(r->avail, 6 + 2ULL * r->num) &&
	       mapped(r->used, 6 + 8ULL * r->num);
}

static int set_ram(const struct vhost_memory *memory)
{
	must(memory->padding == 0);
	if (memory->nregions > 4)
		return E2BIG;
	vhost_fake.regions = memory->nregions;
	for (unsigned int i = 0; i < memory->nregions; i++) {
		const struct vhost_memory_region *region = &memory->regions[i];

		must(region->flags_padding == 0);
		vhost_fake.region[i].gpa = region->guest_phys_addr;
		vhost_fake.region[i].size = region->memory_size;
		vhost_fake.region[i].hva = region->userspace_addr;
	}
	return 0;
}

static int set_addr(const struct vhost_vring_addr *addr)
{
	struct vhost_fake_ring *r = &vhost_fake.rings[addr->index];

	if (addr->flags)
		return EOPNOTSUPP;
	if (addr->desc_user_addr % 16 || addr->avail_user_addr % 2 || addr->used_user_addr % 4)
		return EINVAL;
	r->desc = addr->desc_user_addr;
	r->avail = addr->avail_user_addr;
	r->used = addr->used_user_addr;
	return 0;
}

static int ring_state(unsigned long request, struct vhost_vring_state *state)
{
	struct vhost_fake_ring *r = &vhost_fake.rings[state->index];

	if (request == VHOST_GET_VRING_BASE) {
		state->num = r->base;
		return 0;
	}
	if (vhost_fake.running || r->backend >= 0)
		return EBUSY;
	if (request == VHOST_SET_VRING_NUM) {
		if (state->num == 0 || state->num > UINT16_MAX || state->num & (state->num - 1))
			return EINVAL;
		r->num = state->num;
		return 0;
	}
	if (state->num > UINT16_MAX)
		return EINVAL;
	r->base = state->num;
	return 0;
}

static int ring_file(unsigned long request, const struct vhost_vring_file *file)
{
	struct vhost_fake_ring *r = &vhost_fake.rings[file->index];
	int *place = request == VHOST_SET_VRING_KICK   ? &r->kick
		     : request == VHOST_SET_VRING_CALL ? &r->call
						       : &r->err;

	if (file->fd != VHOST_FILE_UNBIND && fcntl(file->fd, F_GETFD) < 0)
		return EBADF;
	/* As the kernel does: a kick from before finds nothing that runs. */
	*place = file->fd;
	if (request == VHOST_SET_VRING_KICK)
		vhost_fake_kicked(file->index);
	return 0;
}

static int set_running(int on)
{
	if (on && !(accessible(&vhost_fake.rings[0]) && accessible(&vhost_fake.rings[1])))
		return EFAULT;
	vhost_fake.starts += on && !vhost_fake.running;
	vhost_fake.stops += !on && vhost_fake.running;
	vhost_fake.running = on;
	return 0;
}

/* VHOST_NET_SET_BACKEND: the ring runs while it has one. */
static int set_backend(const struct vhost_vring_file *file)
{
	struct vhost_fake_ring *r = &vhost_fake.rings[file->index];

	if (file->fd != VHOST_FILE_UNBIND && fcntl(file->fd, F_GETFD) < 0)
		return EBADF;
	if (file->fd != VHOST_FILE_UNBIND && !accessible(r))
		return EFAULT;
	vhost_fake.starts += file->fd >= 0 && r->backend < 0;
	vhost_fake.stops += file->fd < 0 && r->backend >= 0;
	r->backend = file->fd;
	return 0;
}

static int set_features(uint64_t features, uint64_t offered, uint64_t *acked)
{
	if (features & ~offered)
		return EOPNOTSUPP;
	*acked = features;
	return 0;
}

static int set_cid(uint64_t cid)
{
	if (cid <= 2 || cid >= UINT32_MAX)
		return EINVAL;
	vhost_fake.cid = cid;
	return 0;
}

static unsigned int ring_of(unsigned long request, const void *arg)
{
	return request == VHOST_SET_VRING_ADDR || request == VHOST_NET_SET_BACKEND ||
			       _IOC_NR(request) >> 4 == 1 || _IOC_NR(request) >> 4 == 2
		       ? *(const unsigned int *)arg
		       : 0;
}

/* An errno, or 0. */
static int handle(int fd, unsigned long request, void *arg)
{
	/* The owner can always stop it. */
	bool stop = (request == VHOST_VSOCK_SET_RUNNING && *(int *)arg == 0) ||
		    (request == VHOST_NET_SET_BACKEND &&
		     ((struct vhost_vring_file *)arg)->fd == VHOST_FILE_UNBIND);

	if (request == vhost_fake.refuse && !stop) {
		if (vhost_fake.refuse_after == 0)
			return vhost_fake.refuse_errno;
		vhost_fake.refuse_after--;
	}
	if (request == VHOST_SET_OWNER) {
		begin(fd);
		return 0;
	}
	show_fd(fd);
	if (fd != vhost_fake.fd)
		return EPERM;
	switch (request) {
	case VHOST_GET_FEATURES:
		*(uint64_t *)arg = vhost_fake.features;
		return 0;
	case VHOST_SET_FEATURES:
		must(!vhost_fake.running && vhost_fake.rings[0].backend < 0 &&
		     vhost_fake.rings[1].backend < 0);
		return set_features(*(uint64_t *)arg, vhost_fake.features, &vhost_fake.acked);
	case VHOST_GET_BACKEND_FEATURES:
		*(uint64_t *)arg = vhost_fake.backend_features;
		return 0;
	case VHOST_SET_BACKEND_FEATURES:
		return set_features(*(uint64_t *)arg, vhost_fake.backend_features,
				    &vhost_fake.backend_acked);
	case VHOST_SET_MEM_TABLE:
		return set_ram(arg);
	case VHOST_VSOCK_SET_GUEST_CID:
		return set_cid(*(uint64_t *)arg);
	case VHOST_VSOCK_SET_RUNNING:
		return set_running(*(int *)arg);
	default:
		break;
	}
	if (ring_of(request, arg) >= VHOST_FAKE_RINGS)
		return ENOBUFS;
	switch (request) {
	case VHOST_SET_VRING_ADDR:
		return set_addr(arg);
	case VHOST_SET_VRING_NUM:
	case VHOST_SET_VRING_BASE:
	case VHOST_GET_VRING_BASE:
		return ring_state(request, arg);
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
		return ring_file(request, arg);
	case VHOST_NET_SET_BACKEND:
		return set_backend(arg);
	default:
		return ENOTTY;
	}
}

bool vhost_fake_knows(unsigned long request)
{
	return _IOC_TYPE(request) == VHOST_VIRTIO;
}

int vhost_fake_ioctl(int fd, unsigned long request, void *arg)
{
	int code = handle(fd, request, arg);

	errno = code;
	return code ? -1 : 0;
}

static uint16_t get16(uint64_t hva)
{
	return le16toh(*(const uint16_t *)(uintptr_t)hva);
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	if (fd >= 0)
		must(write(fd, &one, sizeof(one)) == sizeof(one));
}

void vhost_fake_fail(unsigned int ring)
{
	signal_fd(vhost_fake.rings[ring].err);
}

bool vhost_fake_kicked(unsigned int ring)
{
	struct pollfd pfd = {.fd = vhost_fake.rings[ring].kick, .events = POLLIN};
	uint64_t value;

	return pfd.fd >= 0 && poll(&pfd, 1, 0) > 0 &&
	       read(pfd.fd, &value, sizeof(value)) == sizeof(value);
}

/* One frame between a buffer and a tap, header included; -1: the tap has none. */
static int move_frame(const struct vhost_fake_ring *r, bool transmit, uint8_t *bytes, uint32_t len)
{
	const uint16_t one = htole16(1);
	ssize_t n;

	if (transmit) {
		must(send(r->backend, bytes, len, MSG_DONTWAIT) == (ssize_t)len);
		return 0;
	}
	n = recv(r->backend, bytes, len, MSG_DONTWAIT);
	/* num_buffers, which the tap does not know. */
	if (n >= 12)
		memcpy(bytes + 10, &one, sizeof(one));
	return n >= 12 ? (int)n : -1;
}

/* The chain's first descriptor is looked at, and only direct ones: enough to see whose buffer it
 * is. Returns bytes written, or -1: the driver broke the rules, -2: there is nothing for it. */
static int serve_one(const struct vhost_fake_ring *r, bool transmit, uint16_t head, uint8_t fill)
{
	const uint8_t *desc = (const uint8_t *)(uintptr_t)(r->desc + 16ULL * head);
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint8_t *bytes;

	if (head >= r->num)
		return -1;
	memcpy(&addr, desc, 8);
	memcpy(&len, desc + 8, 4);
	memcpy(&flags, desc + 12, 2);
	len = le32toh(len);
	bytes = guest(le64toh(addr), len);
	if (!bytes || (le16toh(flags) & DESC_INDIRECT) ||
	    transmit == !!(le16toh(flags) & DESC_WRITE))
		return -1;
	if (r->backend >= 0) {
		int n = move_frame(r, transmit, bytes, len);

		return n < 0 ? -2 : n;
	}
	if (transmit) {
		memcpy(vhost_fake_sent, bytes, MIN_OF(len, sizeof(vhost_fake_sent)));
		return 0;
	}
	memset(bytes, fill, len);
	return (int)len;
}

static void put_used(const struct vhost_fake_ring *r, uint16_t id, uint32_t len)
{
	uint16_t *idx = (uint16_t *)(uintptr_t)(r->used + 2);
	uint16_t at = le16toh(*idx);
	uint32_t entry[2] = {htole32(id), htole32(len)};

	memcpy((uint8_t *)(uintptr_t)(r->used + 4 + 8ULL * (at % r->num)), entry, sizeof(entry));
	__atomic_store_n(idx, htole16((uint16_t)(at + 1)), __ATOMIC_RELEASE);
}

unsigned int vhost_fake_serve(unsigned int ring, uint8_t fill)
{
	struct vhost_fake_ring *r = &vhost_fake.rings[ring];
	unsigned int served = 0;

	while ((vhost_fake.running || r->backend >= 0) &&
	       (uint16_t)r->base != get16(r->avail + 2)) {
		uint16_t head = get16(r->avail + 4 + 2ULL * (r->base % r->num));
		int written;

		if ((uint16_t)(get16(r->avail + 2) - r->base) > r->num) {
			vhost_fake_fail(ring);
			break;
		}
		written = serve_one(r, ring == 1, head, fill);
		if (written == -1)
			vhost_fake_fail(ring);
		if (written < 0)
			break;
		r->base = (uint16_t)(r->base + 1);
		put_used(r, head, (uint32_t)written);
		served++;
	}
	if (served)
		signal_fd(r->call);
	return served;
}
