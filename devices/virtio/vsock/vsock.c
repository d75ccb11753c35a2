/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/vsock/vsock.h"

#include <linux/vhost.h>
#include <string.h>

#include "base/le.h"
#include "base/util.h"
#include "devices/virtio/vsock/vsock_impl.h"

static void vsock_attached(void *dev, struct virtio_pci *v)
{
	((struct virtio_vsock *)dev)->v = v;
}

static uint64_t vsock_features(void *dev)
{
	const struct virtio_vsock *s = dev;

	return vhost_features(s->vhost) &
	       (VHOST_TRANSPORT_FEATURES | VSOCK_F_STREAM | VSOCK_F_SEQPACKET);
}

static unsigned int vsock_queue_count(void *dev _unused_)
{
	return VSOCK_QUEUES;
}

static uint16_t vsock_queue_size(void *dev _unused_, unsigned int queue _unused_)
{
	return VSOCK_QUEUE_SIZE;
}

static size_t vsock_config_size(void *dev _unused_)
{
	return VSOCK_CONFIG_SIZE;
}

static void vsock_config_read(void *dev, size_t offset, void *data, size_t size)
{
	const struct virtio_vsock *s = dev;
	uint8_t space[VSOCK_CONFIG_SIZE];

	le_put64(space, 0, s->cid);
	memcpy(data, space + offset, size);
}

static int vsock_save(const void *dev, struct state_writer *w, struct error *err _unused_)
{
	const struct virtio_vsock *s = dev;

	state_put_u32(w, "guest-cid", s->cid);
	return 0;
}

static int vsock_load(void *dev, uint32_t version _unused_, struct state_reader *r,
		      enum state_mode mode _unused_, struct error *err)
{
	struct virtio_vsock *s = dev;
	uint32_t cid = state_get_u32(r, "guest-cid");

	state_require(r, cid == s->cid, "guest-cid: the guest has %u, the configuration %u", cid,
		      s->cid);
	for (unsigned int i = 0; i < VSOCK_QUEUES; i++)
		state_require(r, virtqueue_loaded_in_flight(virtio_queue(s->v, i)) == 0,
			      "queue %u: nothing can be in flight", i);
	return state_reader_done(r, err);
}

static void vsock_free(void *dev)
{
	struct virtio_vsock *s = dev;

	vhost_free(s->vhost);
	virtqueue_chain_free(s->chain);
	free(s);
}

static struct vhost_params vhost_params(const char *host_device, struct virtio_vsock *s)
{
	return (struct vhost_params){.name = "vsock",
				     .path = host_device,
				     .module = "vhost_vsock",
				     .instead = "start the VM without --vsock",
				     .on_error = vsock_failed,
				     .opaque = s};
}

int virtio_vsock_check_host(const char *host_device, struct error *err)
{
	const struct vhost_params params = vhost_params(host_device, NULL);

	return vhost_check(&params, err);
}

static int take_cid(struct virtio_vsock *s, struct error *err)
{
	uint64_t cid = s->cid;
	int r = vhost_ioctl(s->vhost, VHOST_VSOCK_SET_GUEST_CID, &cid, "VHOST_VSOCK_SET_GUEST_CID",
			    err);

	if (r == -EADDRINUSE)
		error_set(err, r,
			  "vsock: CID %u is taken, by another VM or by this host itself: give the "
			  "VM another one (--vsock cid=N)",
			  s->cid);
	return r;
}

int virtio_vsock_new(const struct virtio_vsock_config *config, const char *host_device,
		     const struct vhost_ram *ram, struct virtio_vsock **ret, struct error *err)
{
	struct virtio_vsock *s = calloc(1, sizeof(*s));
	const struct vhost_params params = vhost_params(host_device, s);
	int r;

	if (!s)
		return error_set(err, -ENOMEM, "virtio-vsock: out of memory");
	s->cid = config->cid;
	s->chain = virtqueue_chain_new(VSOCK_SEGMENTS_MAX);
	r = s->chain ? 0 : error_set(err, -ENOMEM, "virtio-vsock: out of memory");
	if (r == 0)
		r = vhost_open(&params, &s->vhost, err);
	if (r == 0)
		r = vhost_set_ram(s->vhost, ram, err);
	if (r == 0)
		r = take_cid(s, err);
	if (r < 0) {
		vsock_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

const struct virtio_device_ops virtio_vsock_ops = {
	.name = "virtio-vsock",
	.device_id = VSOCK_DEVICE_ID,
	.class_code = VSOCK_CLASS_OTHER,
	.state_version = 1,
	.state_min_version = 1,
	.attached = vsock_attached,
	.features = vsock_features,
	.queue_count = vsock_queue_count,
	.queue_size_max = vsock_queue_size,
	.config_size = vsock_config_size,
	.config_read = vsock_config_read,
	.activate = vsock_activate,
	.queue_ready = vsock_queue_ready,
	.dma_changed = vsock_dma_changed,
	.interrupt_changed = vsock_interrupt_changed,
	.reset = vsock_reset,
	.drain = vsock_drain,
	.resumed = vsock_resumed,
	.save = vsock_save,
	.load = vsock_load,
	.free = vsock_free,
};
