/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message-signalled interrupts of devices. Those that we fire ourselves go by KVM_SIGNAL_MSI, which
 * needs no route. A vector that the kernel signals (vhost, vfio) gets an irqfd and a route when its
 * eventfd is asked for; this module then owns the VM's routing table (KVM_SET_GSI_ROUTING), pins of
 * the interrupt controllers included.
 */
#ifndef HOLDFAST_VMM_MSI_H
#define HOLDFAST_VMM_MSI_H

#include "devices/pci/pci.h"

struct msi_router;

/* vm_fd: borrowed. */
int msi_router_new(int vm_fd, struct msi_router **ret, struct error *err);
void msi_router_free(struct msi_router *router); /* every vector is freed already; NULL is fine */

/* opaque: struct msi_router. */
extern const struct msi_ops kvm_msi_ops;

#endif
