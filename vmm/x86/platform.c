/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/acpi_pm.h"
#include "devices/chardev.h"
#include "devices/reset.h"
#include "devices/rtc.h"
#include "devices/uart16550.h"

#include "base/util.h"
#include "vmm/arch_platform.h"
#include "vmm/console.h"
#include "vmm/guest_memory.h"
#include "vmm/x86/acpi.h"
#include "vmm/x86/layout.h"

/* A wire from a device to a pin of the interrupt controllers. */
struct wire {
	struct arch_vm *vm;
	uint32_t gsi;
};

struct arch_platform {
	struct arch_vm *vm; /* borrowed */
	struct machine_control control;
	struct wire uart_wire, rtc_wire, sci_wire;
	struct chardev *console;
	struct uart16550 *uart;
	struct rtc *rtc;
	struct acpi_pm *pm;
	struct reset *reset;
};

static void wire_set(void *opaque, bool level)
{
	const struct wire *wire = opaque;

	arch_set_irq(wire->vm, wire->gsi, level);
}

static struct irq_line wire_line(struct wire *wire, struct arch_vm *vm, uint32_t gsi)
{
	*wire = (struct wire){vm, gsi};
	return (struct irq_line){wire_set, wire};
}

static uint64_t guest_clock(void *opaque)
{
	return arch_guest_clock_ns(opaque);
}

static int make_uart(struct arch_platform *p, const struct arch_platform_params *params,
		     struct error *err)
{
	struct uart16550_params uart = {.irq = wire_line(&p->uart_wire, p->vm, GSI_UART0),
					.loop = params->loop};
	int r = console_open("console", &params->config->console, params->loop, &p->control,
			     &p->console, err);

	if (r < 0)
		return r;
	uart.backend = p->console;
	r = uart16550_new(&uart, &p->uart, err);
	if (r < 0)
		return r;
	return bus_add(params->ports, PORT_UART0, UART16550_IO_SIZE, &uart16550_io_ops, p->uart,
		       err);
}

static int make_rtc(struct arch_platform *p, const struct arch_platform_params *params,
		    struct error *err)
{
	struct rtc_params rtc = {.irq = wire_line(&p->rtc_wire, p->vm, GSI_RTC),
				 .loop = params->loop};
	int r = rtc_new(&rtc, &p->rtc, err);

	if (r == 0)
		r = bus_add(params->ports, PORT_RTC, RTC_IO_SIZE, &rtc_io_ops, p->rtc, err);
	return r;
}

static int make_pm(struct arch_platform *p, const struct arch_platform_params *params,
		   struct error *err)
{
	struct acpi_pm_params pm = {.sci = wire_line(&p->sci_wire, p->vm, GSI_SCI),
				    .loop = params->loop,
				    .control = params->control,
				    .clock = {guest_clock, p->vm}};
	int r = acpi_pm_new(&pm, &p->pm, err);

	if (r == 0)
		r = bus_add(params->ports, PORT_PM1_EVT, ACPI_PM_IO_SIZE, &acpi_pm_io_ops, p->pm,
			    err);
	return r;
}

static int make_reset(struct arch_platform *p, const struct arch_platform_params *params,
		      struct error *err)
{
	struct reset_params reset = {.control = params->control};
	int r = reset_new(&reset, &p->reset, err);

	/* The other one, at 0xcf9, lies amid the PCI host bridge's ports. */
	if (r == 0)
		r = bus_add(params->ports, PORT_KBD_RESET, RESET_KBD_IO_SIZE, &reset_kbd_io_ops,
			    p->reset, err);
	return r;
}

int arch_platform_new(const struct arch_platform_params *params, struct arch_platform **ret,
		      struct error *err)
{
	struct arch_platform *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return error_set(err, -ENOMEM, "out of memory for devices");
	p->vm = params->vm;
	p->control = params->control;
	r = make_uart(p, params, err);
	if (r == 0)
		r = make_rtc(p, params, err);
	if (r == 0)
		r = make_pm(p, params, err);
	if (r == 0)
		r = make_reset(p, params, err);
	if (r < 0) {
		arch_platform_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

void arch_platform_free(struct arch_platform *p)
{
	if (!p)
		return;
	reset_free(p->reset);
	acpi_pm_free(p->pm);
	rtc_free(p->rtc);
	uart16550_free(p->uart);
	chardev_free(p->console);
	free(p);
}

size_t arch_platform_objects(struct arch_platform *p,
			     struct state_object objects[ARCH_PLATFORM_OBJECTS_MAX])
{
	const struct state_object all[] = {
		{.ops = &uart16550_state_ops, .obj = p->uart, .instance = "3f8"},
		{.ops = &rtc_state_ops, .obj = p->rtc},
		{.ops = &acpi_pm_state_ops, .obj = p->pm},
		{.ops = &reset_state_ops, .obj = p->reset},
	};

	_Static_assert(ARRAY_SIZE(all) <= ARCH_PLATFORM_OBJECTS_MAX, "no room for the objects");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		objects[i] = all[i];
	return ARRAY_SIZE(all);
}

size_t arch_platform_state_size_max(void)
{
	return UART16550_STATE_MAX + RTC_STATE_MAX + ACPI_PM_STATE_MAX + RESET_STATE_MAX;
}

void arch_platform_start(struct arch_platform *p)
{
	uart16550_start(p->uart);
}

void arch_platform_stop(struct arch_platform *p, unsigned int timeout_ms)
{
	/* What did not go out is in the state: no reason to give the pause up. */
	(void)uart16550_stop(p->uart, (int)timeout_ms);
}

/* Its windows are those of the DSDT (acpi_dsdt.c). */
void arch_platform_pci(struct arch_platform *p, const struct guest_ram *ram, struct arch_pci *ret)
{
	uint64_t base64 = acpi_pci_mmio64_base(guest_ram_end(ram));

	*ret = (struct arch_pci){
		.ecam = PCI_ECAM_ADDR,
		.ecam_size = PCI_ECAM_SIZE,
		.windows = {.io = {PCI_IO_FIRST, PCI_IO_END},
			    .mem32 = {MMIO32_ADDR, MMIO32_END},
			    .mem64 = {base64, base64 + ACPI_PCI_MMIO64_SIZE}},
		.has_ports = true,
		.hotplug_port = PORT_PCI_HOTPLUG,
		.port_ops = &reset_cf9_io_ops,
		.port_opaque = p->reset,
	};
}

void arch_platform_pci_event(struct arch_platform *p)
{
	acpi_pm_raise_gpe(p->pm, ACPI_GPE_PCI_HOTPLUG);
}

uint16_t arch_platform_memory_port(void)
{
	return PORT_MEMORY_HOTPLUG;
}

void arch_platform_memory_event(struct arch_platform *p)
{
	acpi_pm_raise_gpe(p->pm, ACPI_GPE_MEMORY_HOTPLUG);
}

unsigned int arch_pci_intx_gsi(unsigned int slot)
{
	return acpi_pci_intx_gsi(slot, 0);
}

void arch_platform_power_button(struct arch_platform *p)
{
	acpi_pm_power_button(p->pm);
}

const char *arch_platform_console(const struct arch_platform *p)
{
	return chardev_path(p->console);
}
