/* SPDX-License-Identifier: Apache-2.0 */
/* State of KVM's PICs, IOAPIC and PIT: the kernel's structures, whole. */
#ifndef HOLDFAST_VMM_X86_IRQCHIP_STATE_H
#define HOLDFAST_VMM_X86_IRQCHIP_STATE_H

#include "base/state.h"

/* obj: struct x86_irqchip. Nodes "pic@0", "pic@1", "ioapic". */
extern const struct state_ops x86_pic_state_ops;
extern const struct state_ops x86_ioapic_state_ops;
/* obj: struct arch_vm. Node "pit". */
extern const struct state_ops x86_pit_state_ops;

#define X86_IRQCHIP_STATE_MAX 4096 /* bytes of a blob that all of them take at most */

#endif
