/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power states: PCI Power Management 1.2, 3.2.4. The device goes where the guest sends it. Outside
 * of D0 the host's kernel takes its memory out of this process, so that it must be out of the guest
 * before; its registers read all ones meanwhile, as those of a device that sleeps.
 */
#include "base/util.h"
#include "devices/vfio/vfio_pci_impl.h"

#define STATE_D1 1U
#define STATE_D2 2U

static unsigned int wanted(const struct vfio_pci *v)
{
	return pci_config_peek(v->function, v->pm_cap + PCI_PM_CTRL, 2) & PCI_PM_CTRL_STATE_MASK;
}

/* 3.2.4: a state that there is not is written in vain. */
static bool is_known(const struct vfio_pci *v, unsigned int state)
{
	uint32_t pmc = pci_config_peek(v->function, v->pm_cap + PCI_PM_PMC, 2);

	if (state == STATE_D1)
		return pmc & PCI_PM_CAP_D1;
	return state != STATE_D2 || (pmc & PCI_PM_CAP_D2);
}

static void go_to(struct vfio_pci *v, unsigned int state)
{
	if (state != VFIO_PCI_D0)
		vfio_pci_bars_hide(v);
	vfio_write(v->device, VFIO_CONFIG_SPACE, v->pm_cap + PCI_PM_CTRL, state, 2);
	v->power = state;
	if (state == VFIO_PCI_D0)
		vfio_pci_bars_show(v);
}

void vfio_pci_power_update(struct vfio_pci *v)
{
	unsigned int state;

	if (!v->pm_cap)
		return;
	state = wanted(v);
	if (!is_known(v, state)) {
		uint32_t control = pci_config_peek(v->function, v->pm_cap + PCI_PM_CTRL, 2);

		pci_config_poke(v->function, v->pm_cap + PCI_PM_CTRL,
				(control & ~(uint32_t)PCI_PM_CTRL_STATE_MASK) | v->power, 2);
	} else if (state != v->power) {
		go_to(v, state);
	}
}

void vfio_pci_power_wake(struct vfio_pci *v)
{
	if (v->power != VFIO_PCI_D0)
		go_to(v, VFIO_PCI_D0);
}
