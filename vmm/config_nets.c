/* SPDX-License-Identifier: Apache-2.0 */
/* The network cards of a configuration: --net, or the key "net". */
#include <stdio.h>
#include <string.h>

#include "devices/virtio/net/net.h"
#include "devices/virtio/net/tap.h"
#include "vmm/config_priv.h"

/* Passed descriptors are of this process: the tap's name is what the next one knows it by. */
static void learn_tap(struct virtio_net_config *net, const char *path, struct problems *problems)
{
	struct error err = ERROR_INIT;

	if (net->fd_count && net_tap_name(net->fds[0], net->tap, &err) < 0)
		problem_add(problems, "%s.fd: %s", path, error_message(&err));
}

static void read_one(json_t *json, const char *path, struct vm_config *config,
		     struct problems *problems)
{
	struct virtio_net_config *net = &config->nets[config->net_count];
	unsigned int before = problems->count;

	virtio_net_config_read(json, path, net, problems);
	if (problems->count > before)
		return;
	learn_tap(net, path, problems);
	config_check_place(config, path, net->id, net->slot, problems);
}

void config_add_nets(json_t *array, struct vm_config *config, struct problems *problems)
{
	config_add_each(array, "net", VM_NETS_MAX, &config->net_count, read_one, config, problems);
}

void config_check_vhost(const struct vm_config *config, unsigned int first, struct problems *p)
{
	for (unsigned int i = first; i < config->net_count; i++) {
		const struct virtio_net_config *net = &config->nets[i];
		struct error err = ERROR_INIT;

		if (net->vhost == NET_VHOST_ON &&
		    virtio_net_check_vhost(VIRTIO_NET_HOST_DEVICE, &err) < 0)
			problem_add(p, "net %s: %s", net->id, error_message(&err));
	}
}

void vm_config_decide(struct vm_config *config)
{
	for (unsigned int i = 0; i < config->net_count; i++)
		virtio_net_decide_vhost(&config->nets[i], VIRTIO_NET_HOST_DEVICE);
}

void vm_config_keep(struct vm_config *config)
{
	for (unsigned int i = 0; i < config->net_count; i++) {
		if (config->nets[i].vhost == NET_VHOST_AUTO)
			config->nets[i].vhost = NET_VHOST_OFF;
	}
}

void config_check_nets(const struct vm_config *config, struct problems *p)
{
	for (unsigned int i = 0; i < config->net_count; i++) {
		const struct virtio_net_config *a = &config->nets[i];

		for (unsigned int j = i + 1; j < config->net_count; j++) {
			const struct virtio_net_config *b = &config->nets[j];

			if (strcmp(a->tap, b->tap) == 0)
				problem_add(p, "net %s and net %s: both are tap %s", a->id, b->id,
					    a->tap);
			if (a->has_mac && b->has_mac && memcmp(a->mac, b->mac, sizeof(a->mac)) == 0)
				problem_add(p, "net %s and net %s: both have the same mac", a->id,
					    b->id);
		}
	}
}

json_t *config_nets_to_json(const struct vm_config *config)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < config->net_count; i++) {
		json_t *net = virtio_net_config_to_json(&config->nets[i]);

		if (json_array_append_new(array, net) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}
