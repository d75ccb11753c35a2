/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/msi.h"

#include <assert.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include "base/util.h"
#include "vmm/arch.h"
#include "vmm/kvm.h"

#define ROUTES_MAX 1024 /* of vectors with an irqfd; KVM takes 4096 in all */

struct msi {
	uint64_t address;
	uint32_t data;
	bool masked;
	int eventfd; /* owned; FD_NONE: the kernel does not signal it */
	uint32_t gsi;
	bool assigned; /* the irqfd is in KVM */
};

/* struct kvm_irq_routing with room. */
struct routing {
	uint32_t nr, flags;
	struct kvm_irq_routing_entry entries[ARCH_IRQ_ROUTES_MAX + ROUTES_MAX];
};
static_assert(offsetof(struct routing, entries) == sizeof(struct kvm_irq_routing),
	      "struct kvm_irq_routing has changed");

struct msi_router {
	int vm_fd;
	pthread_mutex_t lock;
	struct msi *routed[ROUTES_MAX]; /* by GSI - ARCH_GSI_MSI */
	struct routing table;
};

int msi_router_new(int vm_fd, struct msi_router **ret, struct error *err)
{
	struct msi_router *router = calloc(1, sizeof(*router));

	if (!router)
		return error_set(err, -ENOMEM, "interrupt routing: out of memory");
	router->vm_fd = vm_fd;
	pthread_mutex_init(&router->lock, NULL);
	*ret = router;
	return 0;
}

void msi_router_free(struct msi_router *router)
{
	if (!router)
		return;
	pthread_mutex_destroy(&router->lock);
	free(router);
}

/* The whole table, as KVM wants it. Lock held. */
static int write_table(struct msi_router *router, struct error *err)
{
	struct kvm_irq_routing_entry *entries = router->table.entries;
	unsigned int n = arch_irq_routes(entries);

	for (uint32_t i = 0; i < ROUTES_MAX; i++) {
		const struct msi *msi = router->routed[i];

		/* A masked one keeps its last route, and no irqfd that would use it. */
		if (!msi || msi->address == 0)
			continue;
		entries[n++] = (struct kvm_irq_routing_entry){
			.gsi = msi->gsi,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = {.address_lo = (uint32_t)msi->address,
				  .address_hi = (uint32_t)(msi->address >> 32),
				  .data = msi->data},
		};
	}
	router->table.nr = n;
	return kvm_ioctl(router->vm_fd, KVM_SET_GSI_ROUTING, &router->table, "KVM_SET_GSI_ROUTING",
			 err);
}

static int irqfd(const struct msi_router *router, const struct msi *msi, uint32_t flags,
		 struct error *err)
{
	struct kvm_irqfd request = {.fd = (uint32_t)msi->eventfd, .gsi = msi->gsi, .flags = flags};

	return kvm_ioctl(router->vm_fd, KVM_IRQFD, &request, "KVM_IRQFD", err);
}

static int msi_alloc(void *opaque _unused_, void **ret_msi, struct error *err)
{
	struct msi *msi = calloc(1, sizeof(*msi));

	if (!msi)
		return error_set(err, -ENOMEM, "out of memory for an interrupt vector");
	msi->eventfd = FD_NONE;
	msi->masked = true;
	*ret_msi = msi;
	return 0;
}

static void msi_fire(void *opaque, void *p)
{
	const struct msi_router *router = opaque;
	const struct msi *msi = p;
	struct kvm_msi message = {.address_lo = (uint32_t)msi->address,
				  .address_hi = (uint32_t)(msi->address >> 32),
				  .data = msi->data};

	/* An address that is no LAPIC's goes nowhere, as on a PC. */
	if (ioctl(router->vm_fd, KVM_SIGNAL_MSI, &message) < 0)
		return;
}

/* Signals that came while no irqfd listened. What comes between the look and the irqfd is found by
 * KVM, which looks at the eventfd when it is assigned. */
static bool take_signal(const struct msi *msi)
{
	uint64_t value;

	return read(msi->eventfd, &value, sizeof(value)) > 0;
}

/* Lock held. */
static int update_irqfd(struct msi_router *router, struct msi *msi, struct error *err)
{
	int r = 0;

	if (msi->masked) {
		if (msi->assigned)
			r = irqfd(router, msi, KVM_IRQFD_FLAG_DEASSIGN, err);
		msi->assigned = msi->assigned && r < 0;
		return r;
	}
	r = write_table(router, err);
	if (r < 0 || msi->assigned)
		return r;
	if (take_signal(msi))
		msi_fire(router, msi);
	r = irqfd(router, msi, 0, err);
	msi->assigned = r == 0;
	return r;
}

static int msi_set(void *opaque, void *p, uint64_t address, uint32_t data, bool masked,
		   struct error *err)
{
	struct msi_router *router = opaque;
	struct msi *msi = p;
	int r = 0;

	pthread_mutex_lock(&router->lock);
	msi->address = address;
	msi->data = data;
	msi->masked = masked;
	if (msi->eventfd >= 0)
		r = update_irqfd(router, msi, err);
	pthread_mutex_unlock(&router->lock);
	return r;
}

/* Lock held. */
static int make_eventfd(struct msi_router *router, struct msi *msi, struct error *err)
{
	uint32_t i = 0;
	int r;

	while (i < ROUTES_MAX && router->routed[i])
		i++;
	if (i == ROUTES_MAX)
		return error_set(err, -ENOSPC,
				 "more than %d interrupt vectors that the kernel signals",
				 ROUTES_MAX);
	msi->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (msi->eventfd < 0)
		return error_sys(err, -errno, "cannot create an eventfd");
	msi->gsi = ARCH_GSI_MSI + i;
	router->routed[i] = msi;
	r = msi->masked ? 0 : update_irqfd(router, msi, err);
	if (r < 0) {
		router->routed[i] = NULL;
		close_fdp(&msi->eventfd);
	}
	return r;
}

static int msi_eventfd(void *opaque, void *p, struct error *err)
{
	struct msi_router *router = opaque;
	struct msi *msi = p;
	int r = 0;

	pthread_mutex_lock(&router->lock);
	if (msi->eventfd < 0)
		r = make_eventfd(router, msi, err);
	pthread_mutex_unlock(&router->lock);
	return r < 0 ? r : msi->eventfd;
}

static bool msi_pending(void *opaque _unused_, void *p)
{
	const struct msi *msi = p;
	struct pollfd pfd = {.fd = msi->eventfd, .events = POLLIN};

	return msi->eventfd >= 0 && poll(&pfd, 1, 0) > 0;
}

static void msi_free(void *opaque, void *p)
{
	struct msi_router *router = opaque;
	struct msi *msi = p;

	pthread_mutex_lock(&router->lock);
	if (msi->eventfd >= 0) {
		/* Closing the last descriptor would take it off, too; a copy may be elsewhere. */
		if (msi->assigned)
			irqfd(router, msi, KVM_IRQFD_FLAG_DEASSIGN, NULL);
		router->routed[msi->gsi - ARCH_GSI_MSI] = NULL;
		close_fdp(&msi->eventfd);
	}
	pthread_mutex_unlock(&router->lock);
	free(msi);
}

const struct msi_ops kvm_msi_ops = {.alloc = msi_alloc,
				    .set = msi_set,
				    .fire = msi_fire,
				    .eventfd = msi_eventfd,
				    .pending = msi_pending,
				    .free = msi_free};
