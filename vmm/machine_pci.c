/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine_pci.h"

#include <linux/kvm.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/util.h"
#include "devices/pci/pci_host.h"
#include "devices/pci/pci_hotplug.h"
#include "devices/wakeup.h"
#include "vmm/bar_memory.h"
#include "vmm/doorbell.h"
#include "vmm/kvm.h"
#include "vmm/msi.h"

/* INTA of a slot. */
struct intx {
	struct machine_pci *pci;
	unsigned int gsi;
	bool level; /* under the lock */
};

struct machine_pci {
	struct machine_pci_params params;
	struct arch_pci layout;
	struct pci_windows left; /* of the layout's windows: not given to a BAR yet */
	struct pci_host *host;	 /* owned, as all below */
	struct pci_hotplug *hotplug;
	struct wakeup *wakeup;
	atomic_uint ejected; /* bit per slot: to be told on the loop's thread */
	machine_pci_ejected_fn *on_ejected;
	void *on_ejected_opaque;
	struct msi_router *msi;
	struct bar_memory *bar_memory;
	pthread_mutex_t intx_lock;
	struct intx intx[PCI_SLOTS_MAX];
	bool ports_added, ecam_added, hotplug_added;
};

/* ---- Hot plug. ---- */

static void raise_event(void *opaque)
{
	struct machine_pci *pci = opaque;

	arch_platform_pci_event(pci->params.platform);
}

/* vCPU thread. For the guest it is gone now; the rest waits for the loop. */
static void eject(void *opaque, unsigned int slot)
{
	struct machine_pci *pci = opaque;

	if (!pci_host_slot(pci->host, slot))
		return;
	pci_host_remove(pci->host, slot);
	atomic_fetch_or(&pci->ejected, 1U << slot);
	wakeup_signal(pci->wakeup);
}

void machine_pci_take_out(struct machine_pci *pci, unsigned int slot)
{
	eject(pci, slot);
}

static void tell_ejected(void *opaque)
{
	struct machine_pci *pci = opaque;
	unsigned int slots = atomic_exchange(&pci->ejected, 0);

	for (unsigned int slot = 1; slot < PCI_SLOTS_MAX; slot++) {
		if ((slots & 1U << slot) && pci->on_ejected)
			pci->on_ejected(pci->on_ejected_opaque, slot);
	}
}

void machine_pci_on_ejected(struct machine_pci *pci, machine_pci_ejected_fn *fn, void *opaque)
{
	pci->on_ejected = fn;
	pci->on_ejected_opaque = opaque;
}

void machine_pci_settle(struct machine_pci *pci)
{
	tell_ejected(pci);
}

int machine_pci_plug(struct machine_pci *pci, unsigned int slot, struct pci_device *function,
		     struct error *err)
{
	int r = pci_host_add(pci->host, slot, function, err);

	if (r == 0)
		pci_hotplug_plugged(pci->hotplug, slot);
	return r;
}

void machine_pci_request_unplug(struct machine_pci *pci, unsigned int slot)
{
	pci_hotplug_unplug(pci->hotplug, slot);
}

/* ---- What functions are given. ---- */

/* A pin that several slots pull is up as long as one of them does. Lock held. */
static bool pin_level(const struct machine_pci *pci, unsigned int gsi)
{
	for (unsigned int i = 0; i < PCI_SLOTS_MAX; i++) {
		if (pci->intx[i].gsi == gsi && pci->intx[i].level)
			return true;
	}
	return false;
}

static void set_intx(void *opaque, bool level)
{
	struct intx *line = opaque;
	struct machine_pci *pci = line->pci;
	bool before, after;

	/* Held during the call, so that two slots cannot overtake each other. */
	pthread_mutex_lock(&pci->intx_lock);
	before = pin_level(pci, line->gsi);
	line->level = level;
	after = pin_level(pci, line->gsi);
	if (before != after)
		arch_set_irq(pci->params.arch, line->gsi, after);
	pthread_mutex_unlock(&pci->intx_lock);
}

static bool inside(const struct pci_window *window, uint64_t base, uint64_t size)
{
	return base >= window->next && base < window->end && size <= window->end - base;
}

static int map_bar(void *opaque, bool io_space, uint64_t base, uint64_t size,
		   const struct io_ops *ops, void *ops_opaque, struct error *err)
{
	struct machine_pci *pci = opaque;
	const struct pci_windows *windows = &pci->layout.windows;
	bool fits = io_space ? inside(&windows->io, base, size)
			     : inside(&windows->mem32, base, size) ||
				       inside(&windows->mem64, base, size);

	if (!fits)
		return error_set(err, -ERANGE, "0x%llx is outside of the host bridge's windows",
				 (unsigned long long)base);
	return bus_add(io_space ? pci->params.ports : pci->params.mmio, base, size, ops, ops_opaque,
		       err);
}

static void unmap_bar(void *opaque, bool io_space, uint64_t base)
{
	struct machine_pci *pci = opaque;

	bus_remove(io_space ? pci->params.ports : pci->params.mmio, base);
}

static int map_memory(void *opaque, uint64_t gpa, uint64_t size, void *memory, struct error *err)
{
	struct machine_pci *pci = opaque;

	return bar_memory_add(pci->bar_memory, gpa, size, memory, err);
}

static void unmap_memory(void *opaque, uint64_t gpa)
{
	struct machine_pci *pci = opaque;

	bar_memory_remove(pci->bar_memory, gpa);
}

/* KVM has a source of its own for these: a pin is up while the kernel or we pull it. */
static int intx_irqfd(const struct intx *line, int trigger, int resample, uint32_t flags,
		      struct error *err)
{
	struct kvm_irqfd request = {.fd = (uint32_t)trigger,
				    .gsi = line->gsi,
				    .flags = flags,
				    .resamplefd = (uint32_t)resample};

	return kvm_ioctl(line->pci->params.vm_fd, KVM_IRQFD, &request, "KVM_IRQFD", err);
}

static int intx_fd_assign(void *opaque, int trigger, int resample, struct error *err)
{
	return intx_irqfd(opaque, trigger, resample, KVM_IRQFD_FLAG_RESAMPLE, err);
}

static void intx_fd_remove(void *opaque, int trigger)
{
	intx_irqfd(opaque, trigger, 0, KVM_IRQFD_FLAG_DEASSIGN, NULL);
}

static const struct intx_fd_ops intx_fd_ops = {.assign = intx_fd_assign, .remove = intx_fd_remove};

struct pci_attach machine_pci_attach(struct machine_pci *pci, unsigned int slot)
{
	return (struct pci_attach){.memory = guest_ram_view(pci->params.ram),
				   .intx = {set_intx, &pci->intx[slot]},
				   .msi = &kvm_msi_ops,
				   .msi_opaque = pci->msi,
				   .doorbells = &kvm_doorbell_ops,
				   .doorbell_opaque = &pci->params.vm_fd,
				   .map_bar = map_bar,
				   .unmap_bar = unmap_bar,
				   .map_memory = map_memory,
				   .unmap_memory = unmap_memory,
				   .bar_opaque = pci,
				   .intx_fds = &intx_fd_ops,
				   .intx_fd_opaque = &pci->intx[slot]};
}

int machine_pci_add(struct machine_pci *pci, unsigned int slot, struct pci_device *function,
		    struct error *err)
{
	int r = pci_place_bars(function, &pci->left, err);

	if (r < 0)
		return r;
	/* What firmware tells an operating system that does not read _PRT. */
	pci_config_poke(function, PCI_INTERRUPT_LINE, pci->intx[slot].gsi, 1);
	return pci_host_add(pci->host, slot, function, err);
}

void machine_pci_remove(struct machine_pci *pci, unsigned int slot)
{
	pci_host_remove(pci->host, slot);
	pci_hotplug_forget(pci->hotplug, slot);
}

size_t machine_pci_objects(struct machine_pci *pci,
			   struct state_object objects[MACHINE_PCI_OBJECTS_MAX])
{
	objects[0] = (struct state_object){.ops = &pci_host_state_ops, .obj = pci->host};
	objects[1] = (struct state_object){.ops = &pci_hotplug_state_ops, .obj = pci->hotplug};
	return 2;
}

size_t machine_pci_state_size_max(void)
{
	return PCI_HOST_STATE_MAX + PCI_HOTPLUG_STATE_MAX;
}

static int put_bridge(struct machine_pci *pci, struct error *err)
{
	const struct pci_host_params params = {.other_ops = pci->layout.port_ops,
					       .other_opaque = pci->layout.port_opaque};
	int r = pci_host_new(&params, &pci->host, err);

	if (r < 0)
		return r;
	if (pci->layout.has_ports) {
		r = bus_add(pci->params.ports, PCI_HOST_PORTS, PCI_HOST_PORT_SIZE,
			    &pci_host_port_io_ops, pci->host, err);
		pci->ports_added = r == 0;
	}
	if (r == 0) {
		r = bus_add(pci->params.mmio, pci->layout.ecam, pci->layout.ecam_size,
			    &pci_host_ecam_io_ops, pci->host, err);
		pci->ecam_added = r == 0;
	}
	return r;
}

static int put_hotplug(struct machine_pci *pci, struct error *err)
{
	const struct pci_hotplug_params params = {
		.raise = raise_event, .eject = eject, .opaque = pci};
	int r = wakeup_new(pci->params.loop, tell_ejected, pci, &pci->wakeup, err);

	if (r == 0)
		r = pci_hotplug_new(&params, &pci->hotplug, err);
	if (r == 0)
		r = bus_add(pci->params.ports, pci->layout.hotplug_port, PCI_HOTPLUG_IO_SIZE,
			    &pci_hotplug_io_ops, pci->hotplug, err);
	pci->hotplug_added = r == 0;
	return r;
}

int machine_pci_new(const struct machine_pci_params *params, struct machine_pci **ret,
		    struct error *err)
{
	struct machine_pci *pci = calloc(1, sizeof(*pci));
	int r;

	if (!pci)
		return error_set(err, -ENOMEM, "PCI: out of memory");
	pci->params = *params;
	pthread_mutex_init(&pci->intx_lock, NULL);
	arch_platform_pci(params->platform, params->ram, &pci->layout);
	pci->left = pci->layout.windows;
	for (unsigned int i = 0; i < PCI_SLOTS_MAX; i++)
		pci->intx[i] = (struct intx){.pci = pci, .gsi = arch_pci_intx_gsi(i)};
	r = msi_router_new(params->vm_fd, &pci->msi, err);
	if (r == 0)
		r = bar_memory_new(params->vm_fd, &pci->bar_memory, err);
	if (r == 0)
		r = put_bridge(pci, err);
	if (r == 0)
		r = put_hotplug(pci, err);
	if (r < 0) {
		machine_pci_free(pci);
		return r;
	}
	*ret = pci;
	return 0;
}

void machine_pci_free(struct machine_pci *pci)
{
	if (!pci)
		return;
	if (pci->hotplug_added)
		bus_remove(pci->params.ports, pci->layout.hotplug_port);
	if (pci->ecam_added)
		bus_remove(pci->params.mmio, pci->layout.ecam);
	if (pci->ports_added)
		bus_remove(pci->params.ports, PCI_HOST_PORTS);
	pci_hotplug_free(pci->hotplug);
	wakeup_free(pci->wakeup);
	pci_host_free(pci->host);
	bar_memory_free(pci->bar_memory);
	msi_router_free(pci->msi);
	pthread_mutex_destroy(&pci->intx_lock);
	free(pci);
}
