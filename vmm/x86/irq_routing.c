/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/x86/irq_routing.h"

#include <assert.h>
#include <stddef.h>

#include "base/util.h"
#include "vmm/arch.h"
#include "vmm/kvm.h"
#include "vmm/x86/layout.h"

#define PIC_PINS    8
#define ISA_IRQS    16
#define CASCADE_IRQ 2 /* the second PIC's output: no device's */
#define TIMER_GSI   0
#define TIMER_PIN   2

/* struct kvm_irq_routing with room. */
struct routing {
	uint32_t nr, flags;
	struct kvm_irq_routing_entry entries[IRQ_ROUTES_MAX];
};
static_assert(offsetof(struct routing, entries) == sizeof(struct kvm_irq_routing),
	      "struct kvm_irq_routing has changed");

static struct kvm_irq_routing_entry route(uint32_t gsi, uint32_t chip, uint32_t pin)
{
	return (struct kvm_irq_routing_entry){.gsi = gsi,
					      .type = KVM_IRQ_ROUTING_IRQCHIP,
					      .u.irqchip = {.irqchip = chip, .pin = pin}};
}

unsigned int irq_routes_of_pins(struct kvm_irq_routing_entry routes[IRQ_ROUTES_MAX])
{
	unsigned int n = 0;

	for (uint32_t gsi = 0; gsi < GSI_COUNT; gsi++) {
		if (gsi == CASCADE_IRQ)
			continue;
		if (gsi < PIC_PINS)
			routes[n++] = route(gsi, KVM_IRQCHIP_PIC_MASTER, gsi);
		else if (gsi < ISA_IRQS)
			routes[n++] = route(gsi, KVM_IRQCHIP_PIC_SLAVE, gsi - PIC_PINS);
		routes[n++] = route(gsi, KVM_IRQCHIP_IOAPIC, gsi == TIMER_GSI ? TIMER_PIN : gsi);
	}
	return n;
}

static_assert(ARCH_IRQ_ROUTES_MAX == IRQ_ROUTES_MAX && ARCH_GSI_MSI == GSI_COUNT,
	      "vmm/arch.h says otherwise");

unsigned int arch_irq_routes(struct kvm_irq_routing_entry *routes)
{
	return irq_routes_of_pins(routes);
}

int irq_routing_set(int vm_fd, struct error *err)
{
	struct routing routing = {0};

	routing.nr = irq_routes_of_pins(routing.entries);
	return kvm_ioctl(vm_fd, KVM_SET_GSI_ROUTING, &routing, "KVM_SET_GSI_ROUTING", err);
}
