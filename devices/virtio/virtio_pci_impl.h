/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the PCI transport share. For devices/virtio/virtio_pci*.c only.
 *
 * Registers are written by vCPU threads under `lock`. What the device itself must do about it
 * (activate, start or reset a queue, reset) is left as a request for the loop's thread, which the
 * specification allows: a driver waits until device_status or queue_reset reads 0.
 */
#ifndef HOLDFAST_DEVICES_VIRTIO_VIRTIO_PCI_IMPL_H
#define HOLDFAST_DEVICES_VIRTIO_VIRTIO_PCI_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/log.h"
#include "base/util.h"
#include "devices/virtio/virtio.h"
#include "devices/wakeup.h"

/* BAR 0: a page for each structure (4.1.4). */
#define VP_BAR		 0
#define VP_BAR_SIZE	 0x4000U
#define VP_COMMON_OFFSET 0x0000U
#define VP_ISR_OFFSET	 0x1000U
#define VP_DEVICE_OFFSET 0x2000U
#define VP_NOTIFY_OFFSET 0x3000U
#define VP_PAGE		 0x1000U
#define VP_NOTIFY_STRIDE 4U
#define VP_MSIX_BAR	 1
#define VP_NO_VECTOR	 0xffffU
#define VP_CONFIG_MAX	 256U

/* device_status: 2.1. */
#define VP_ACKNOWLEDGE 1U
#define VP_DRIVER      2U
#define VP_DRIVER_OK   4U
#define VP_FEATURES_OK 8U
#define VP_NEEDS_RESET 64U
#define VP_FAILED      128U
#define VP_STATUS_BITS \
	(VP_ACKNOWLEDGE | VP_DRIVER | VP_DRIVER_OK | VP_FEATURES_OK | VP_NEEDS_RESET | VP_FAILED)

/* ISR status: 4.1.4.5. */
#define VP_ISR_QUEUE  1U
#define VP_ISR_CONFIG 2U

/* As the driver sees a queue. */
struct vp_queue_regs {
	uint16_t size;
	uint64_t desc, driver, device;
	bool enabled;
};

struct vp_queue {
	struct virtio_pci *v;
	unsigned int index;
	struct virtqueue *vq;
	struct vp_queue_regs regs; /* under the lock, as all until the next remark */
	bool start_wanted;	   /* for the loop */
	bool reset_wanted;	   /* for the loop; queue_reset reads 1 */
	bool interrupt_changed;	   /* for the loop */
	_Atomic uint16_t vector;   /* any thread */
	int doorbell;		   /* owned eventfd */
	/* The loop's. */
	bool live;
	bool unwatched; /* the device gave the doorbell to the kernel */
	struct loop_source *doorbell_source;
	int relay; /* owned eventfd of the kernel's signaller without MSI-X; FD_NONE */
	struct loop_source *relay_source;
};

struct virtio_pci {
	struct virtio_pci *self; /* for locking where the transport is const */
	const struct virtio_device_ops *ops;
	void *dev;
	struct loop *loop;
	struct pci_attach attach;
	struct pci_device *pci;
	struct wakeup *wakeup;
	struct state_ops state_ops;
	struct log_ratelimit log;
	uint64_t offered; /* features */
	size_t config_size;
	unsigned int queue_count;
	struct vp_queue *queues;
	uint64_t notify_base; /* where the doorbells are now; 0: nowhere. Configuration mutex */
	unsigned int cfg_cap; /* offset of the PCI configuration access capability */

	pthread_mutex_t config_lock; /* device configuration and generation; taken before lock */
	uint8_t generation;

	pthread_mutex_t lock;
	uint32_t device_feature_select, driver_feature_select;
	uint64_t driver_features;
	uint16_t queue_select;
	_Atomic uint16_t config_vector;
	uint8_t status, isr;
	bool reset_wanted, activate_wanted, dma_changed; /* for the loop */
	bool active; /* the loop's; written under the lock: being activated, or activated and
			not reset since */
	atomic_bool dma;

	/* The loop's. */
	bool drained;
	bool loaded;   /* state came in, virtio_pci_resumed() has not been called */
	bool dma_told; /* what the device knows of `dma` */
};

/* virtio_pci.c */
extern const struct io_ops vp_bar_ops; /* of struct virtio_pci: BAR 0 */
struct virtqueue_config vp_queue_config(const struct virtio_pci *v, const struct vp_queue_regs *q,
					uint64_t features);
/* Registers as at power-on; queues are forgotten. Lock held; nothing is live. */
void vp_reset_registers(struct virtio_pci *v);
void vp_reset_queue_registers(struct vp_queue *q);
void vp_update_dma(struct virtio_pci *v); /* lock held */

/* virtio_pci_caps.c */
int vp_add_capabilities(struct virtio_pci *v, struct error *err);

/* virtio_pci_common.c. 4.1.4.3; lock held inside. */
uint64_t vp_common_read(struct virtio_pci *v, unsigned int offset, unsigned int size);
void vp_common_write(struct virtio_pci *v, unsigned int offset, uint64_t value, unsigned int size);

/* virtio_pci_status.c: what a driver's writes set off. Lock held. */
void vp_write_status(struct virtio_pci *v, uint8_t value);
void vp_enable_queue(struct virtio_pci *v, struct vp_queue *q);
void vp_reset_queue(struct virtio_pci *v, struct vp_queue *q);
void vp_set_vector(struct virtio_pci *v, struct vp_queue *q, uint16_t vector);
/* DEVICE_NEEDS_RESET with the lock held; the caller interrupts after it. */
void vp_needs_reset_locked(struct virtio_pci *v, const char *why);

/* virtio_pci_irq.c. Any thread, lock not held. */
void vp_interrupt_queue(struct virtio_pci *v, struct vp_queue *q);
void vp_interrupt_config(struct virtio_pci *v);
uint8_t vp_isr_read(struct virtio_pci *v);
/* Loop's thread. Interrupts for what the kernel has signalled through the relay. */
void vp_relay(struct vp_queue *q);

/* virtio_pci_life.c. Loop's thread. */
void vp_service(void *opaque);		  /* does what vCPU threads left to do */
void vp_deactivate(struct virtio_pci *v); /* reset of an active device */

/* virtio_pci_state.c */
int vp_save(const void *obj, struct state_writer *w, struct error *err);
int vp_load(void *obj, uint32_t version, struct state_reader *r, enum state_mode mode,
	    struct error *err);

#endif
