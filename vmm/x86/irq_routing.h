/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pin of which interrupt controller a global system interrupt pulls: KVM_SET_GSI_ROUTING.
 * The same on every machine, so it is no state.
 */
#ifndef HOLDFAST_VMM_X86_IRQ_ROUTING_H
#define HOLDFAST_VMM_X86_IRQ_ROUTING_H

#include <linux/kvm.h>

#include "base/error.h"

#define IRQ_ROUTES_MAX 40 /* 15 pins of the PICs, 23 of the IOAPIC */

/* The routes of a PC: GSIs 0 to 15 go to the PICs as well, and the timer (GSI 0) to pin 2 of the
 * IOAPIC, as the MADT says. Returns how many. */
unsigned int irq_routes_of_pins(struct kvm_irq_routing_entry routes[IRQ_ROUTES_MAX]);

int irq_routing_set(int vm_fd, struct error *err);

#endif
