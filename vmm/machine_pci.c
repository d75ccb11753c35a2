/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine_pci.h"

#include <linux/pci_regs.h>
#include <pthread.h>

#include "base/util.h"
#include "devices/pci/pci_host.h"
#include "vmm/doorbell.h"
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
	struct msi_router *msi;
	pthread_mutex_t intx_lock;
	struct intx intx[PCI_SLOTS_MAX];
	bool ports_added, ecam_added;
};

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
				   .bar_opaque = pci};
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
}

struct state_object machine_pci_object(struct machine_pci *pci)
{
	return (struct state_object){.ops = &pci_host_state_ops, .obj = pci->host};
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
		r = put_bridge(pci, err);
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
	if (pci->ecam_added)
		bus_remove(pci->params.mmio, pci->layout.ecam);
	if (pci->ports_added)
		bus_remove(pci->params.ports, PCI_HOST_PORTS);
	pci_host_free(pci->host);
	msi_router_free(pci->msi);
	pthread_mutex_destroy(&pci->intx_lock);
	free(pci);
}
