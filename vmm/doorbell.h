/* SPDX-License-Identifier: Apache-2.0 */
/* Doorbells in the kernel: KVM_IOEVENTFD. */
#ifndef HOLDFAST_VMM_DOORBELL_H
#define HOLDFAST_VMM_DOORBELL_H

#include "devices/pci/pci.h"

/* opaque: int *, the VM's descriptor. */
extern const struct doorbell_ops kvm_doorbell_ops;

#endif
