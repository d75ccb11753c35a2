/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to a device of the host that a VM has, for whoever looks after the VM. */
#ifndef HOLDFAST_VMM_DEVICE_NEWS_H
#define HOLDFAST_VMM_DEVICE_NEWS_H

#include "devices/vfio/config.h"

enum device_news_kind {
	DEVICE_NEWS_ERROR,	/* it has reported an error that it cannot correct: the guest is
				   asked to give it up */
	DEVICE_NEWS_WANTED,	/* its host wants it back: the same */
	DEVICE_NEWS_STAYS,	/* the guest has not given it up: it keeps it */
	DEVICE_NEWS_TAKEN_AWAY, /* the guest has not given it up: it is without it now */
	DEVICE_NEWS_GONE,	/* the VM is without it, and its configuration too */
	DEVICE_NEWS_MAX,
};

struct device_news {
	enum device_news_kind kind;
	char id[VFIO_PCI_ID_MAX + 1];
	char host[24];	/* as vfio_pci_name(); "" when nobody has it open any more */
	char text[256]; /* a sentence that goes on from the device's name, with the way out */
};

#endif
