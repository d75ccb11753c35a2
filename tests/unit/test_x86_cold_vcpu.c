/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/x86: vCPU 0's registers at a kernel's entry, and the wires of the interrupt controllers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "vmm/x86/cold_vcpu.h"
#include "vmm/x86/irq_routing.h"
#include "vmm/x86/layout.h"

static void test_long_mode(void **state _unused_)
{
	const struct boot_entry entry = {.long_mode = true, .rip = 0x1000200, .rsi = 0x7000};
	struct kvm_sregs2 s = {.apic_base = 0xfee00900};
	struct kvm_regs r;

	cold_vcpu_registers(&entry, &s, &r);
	assert_int_equal(r.rip, 0x1000200);
	assert_int_equal(r.rsi, 0x7000);
	assert_int_equal(r.rflags, 2); /* interrupts off: boot protocol */
	assert_int_equal(s.cr0, 0x80000011);
	assert_int_equal(s.cr3, PML4_ADDR);
	assert_int_equal(s.cr4, 0x20);
	assert_int_equal(s.efer, 0x500);
	assert_int_equal(s.cs.selector, BOOT_CS);
	assert_true(s.cs.l && !s.cs.db);
	assert_int_equal(s.ss.selector, BOOT_DS);
	assert_true(!s.ss.l && s.ss.db && s.ss.limit == UINT32_MAX);
	assert_int_equal(s.apic_base, 0xfee00900); /* not ours to change */
}

static void test_pvh(void **state _unused_)
{
	const struct boot_entry entry = {.rip = 0x1000000, .rsi = 1, .rbx = 0x6000};
	struct kvm_sregs2 s = {0};
	struct kvm_regs r;

	cold_vcpu_registers(&entry, &s, &r);
	assert_int_equal(r.rbx, 0x6000);
	assert_int_equal(r.rsi, 0);
	assert_int_equal(s.cr0, 0x11); /* protected, no paging */
	assert_int_equal(s.cr4, 0);
	assert_int_equal(s.efer, 0);
	assert_true(!s.cs.l && s.cs.db && s.cs.g && s.cs.base == 0);
	assert_int_equal(s.tr.limit, 0x67);
}

static bool routed(const struct kvm_irq_routing_entry *routes, unsigned int n, uint32_t gsi,
		   uint32_t chip, uint32_t pin)
{
	for (unsigned int i = 0; i < n; i++) {
		if (routes[i].gsi == gsi && routes[i].u.irqchip.irqchip == chip)
			return routes[i].u.irqchip.pin == pin;
	}
	return false;
}

static void test_wires(void **state _unused_)
{
	struct kvm_irq_routing_entry routes[IRQ_ROUTES_MAX];
	unsigned int n = irq_routes_of_pins(routes);

	assert_int_equal(n, 15 + 23);
	assert_true(routed(routes, n, 0, KVM_IRQCHIP_IOAPIC, 2)); /* MADT: ISA 0 is GSI 2's pin */
	assert_true(routed(routes, n, 0, KVM_IRQCHIP_PIC_MASTER, 0));
	assert_true(routed(routes, n, GSI_UART0, KVM_IRQCHIP_PIC_MASTER, 4));
	assert_true(routed(routes, n, GSI_RTC, KVM_IRQCHIP_PIC_SLAVE, 0));
	assert_true(routed(routes, n, GSI_SCI, KVM_IRQCHIP_IOAPIC, 9));
	assert_true(routed(routes, n, GSI_COUNT - 1, KVM_IRQCHIP_IOAPIC, 23));
	assert_false(routed(routes, n, 16, KVM_IRQCHIP_PIC_SLAVE, 8));
	/* No two wires on one pin. */
	for (unsigned int i = 0; i < n; i++) {
		for (unsigned int j = 0; j < i; j++)
			assert_false(routes[i].u.irqchip.irqchip == routes[j].u.irqchip.irqchip &&
				     routes[i].u.irqchip.pin == routes[j].u.irqchip.pin);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_long_mode),
		cmocka_unit_test(test_pvh),
		cmocka_unit_test(test_wires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
