/* SPDX-License-Identifier: Apache-2.0 */
/* Devices of the host, which a guest gives up before an update and gets back after it. */
#include "base/log.h"
#include "base/util.h"
#include "vmm/machine_priv.h"
#include "vmm/passthrough_preserve.h"

/* A device without the mark is plugged in; on failure it keeps it. */
static void bring_back(struct machine *m, struct vfio_pci_config *device)
{
	struct error err = ERROR_INIT;

	device->away = false;
	if (machine_devices_plug(m->devices, &m->config, &err) == 0) {
		log_info("%s: the guest gets the device back", device->id);
		return;
	}
	device->away = true;
	log_error("%s: the guest does not get the device back: %s; vm.remove-device and "
		  "vm.add-device try again",
		  device->id, error_message(&err));
}

void machine_device_gone(void *opaque, const char *name)
{
	struct machine *m = opaque;
	struct vfio_pci_config *device = vm_config_find_passed(&m->config, name);

	if (device && device->asked) {
		log_info("%s: the guest has given the device up for the update", name);
		device->asked = false;
		device->away = true;
		/* It took so long that the update was given up. */
		if (!m->giving_up)
			bring_back(m, device);
	} else {
		log_info("%s: the guest has given the device back", name);
		vm_config_forget_device(&m->config, name);
	}
	machine_events_tell(&m->events, MACHINE_EVENT_DEVICE_GONE, NULL);
}

void machine_device_withdrawn(void *opaque, const char *name)
{
	struct machine *m = opaque;
	struct vfio_pci_config *device = vm_config_find_passed(&m->config, name);

	if (device)
		device->asked = false;
}

int machine_keep_devices(struct machine *m, bool all, struct kept_devices *ret, struct error *err)
{
	int r;

	for (unsigned int i = 0; i < m->config.device_count; i++) {
		struct vfio_pci_config *device = &m->config.devices[i];

		if (device->away)
			continue;
		device->kept = all || device->policy == VFIO_PCI_PRESERVE;
		/* A driver that can say what is in its device spares the guest to give it up. */
		if (!device->kept && device->policy == VFIO_PCI_RESET)
			device->kept = machine_devices_migrate(m->devices, device->id, true);
	}
	r = machine_devices_keep(m->devices, &m->config, ret, err);
	if (r < 0)
		machine_unkeep_devices(m);
	return r;
}

void machine_unkeep_devices(struct machine *m)
{
	for (unsigned int i = 0; i < m->config.device_count; i++) {
		m->config.devices[i].kept = false;
		machine_devices_migrate(m->devices, m->config.devices[i].id, false);
	}
}

void machine_hand_over(struct machine *m, bool over)
{
	machine_devices_hand_over(m->devices, over);
}

void machine_give_up(struct machine *m)
{
	m->giving_up = true;
	for (unsigned int i = 0; i < m->config.device_count; i++) {
		struct vfio_pci_config *device = &m->config.devices[i];

		if (device->away || device->kept)
			continue;
		device->asked = true;
		machine_devices_request_unplug(m->devices, device->id, NULL);
	}
}

void machine_take_back(struct machine *m, bool updated)
{
	m->giving_up = false;
	for (unsigned int i = m->config.device_count; i-- > 0;) {
		struct vfio_pci_config *device = &m->config.devices[i];

		if (!device->away)
			continue;
		if (updated && device->policy == VFIO_PCI_DETACH) {
			log_info("%s: the device stays away, as its policy says", device->id);
			vm_config_forget_device(&m->config, device->id);
			continue;
		}
		bring_back(m, device);
	}
}
