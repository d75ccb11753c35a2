/* SPDX-License-Identifier: Apache-2.0 */
/* Devices of the host, which a guest gives up before an update and gets back after it. */
#include <stdio.h>
#include <string.h>

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

void machine_device_told(void *opaque, const struct device_news *news)
{
	static const enum log_level levels[DEVICE_NEWS_MAX] = {
		[DEVICE_NEWS_ERROR] = LOG_LEVEL_ERROR,
		[DEVICE_NEWS_WANTED] = LOG_LEVEL_WARNING,
		[DEVICE_NEWS_STAYS] = LOG_LEVEL_WARNING,
		[DEVICE_NEWS_TAKEN_AWAY] = LOG_LEVEL_WARNING,
		[DEVICE_NEWS_GONE] = LOG_LEVEL_INFO,
	};
	struct machine *m = opaque;
	struct vfio_pci_config *device = vm_config_find_passed(&m->config, news->id);

	if (news->host[0])
		log_at(levels[news->kind], "device %s (%s): %s", news->id, news->host, news->text);
	else
		log_at(levels[news->kind], "device %s: %s", news->id, news->text);
	/* The guest is asked for it, and it does not come back. */
	if (device && (news->kind == DEVICE_NEWS_ERROR || news->kind == DEVICE_NEWS_WANTED))
		device->asked = false;
	if (m->news_count == MACHINE_NEWS_MAX)
		return;
	m->news[m->news_count++] = *news;
	machine_events_tell(&m->events, MACHINE_EVENT_DEVICE_NEWS, NULL);
}

bool machine_take_news(struct machine *m, struct device_news *ret)
{
	if (m->news_count == 0)
		return false;
	*ret = m->news[0];
	m->news_count--;
	memmove(&m->news[0], &m->news[1], m->news_count * sizeof(m->news[0]));
	return true;
}

/* Out of the configuration, too. */
static void forget(struct machine *m, const char *name)
{
	const struct vfio_pci_config *device = vm_config_find_passed(&m->config, name);
	struct device_news news = {.kind = DEVICE_NEWS_GONE,
				   .text = "the guest is without it: vm.add-device gives it back"};

	snprintf(news.id, sizeof(news.id), "%s", name);
	if (device)
		snprintf(news.host, sizeof(news.host), "%s", device->host);
	vm_config_forget_device(&m->config, name);
	/* Of the others, the configuration tells enough. */
	if (device)
		machine_device_told(m, &news);
	else
		log_info("%s: the guest has given the device back", name);
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
		forget(m, name);
	}
	machine_events_tell(&m->events, MACHINE_EVENT_DEVICE_GONE, NULL);
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
