/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/vfio/config.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/pci_sysfs.h"
#include "base/util.h"
#include "devices/option_text.h"

static_assert(VFIO_PCI_ADDRESS_SIZE == PCI_ADDRESS_SIZE, "base/pci_sysfs.h says otherwise");

static const struct option_key keys[] = {
	{"host", OPTION_TEXT, NULL, NULL, NULL},   {"fd", OPTION_NUMBER, NULL, NULL, NULL},
	{"id", OPTION_TEXT, NULL, NULL, NULL},	   {"policy", OPTION_TEXT, NULL, NULL, NULL},
	{"slot", OPTION_NUMBER, NULL, NULL, NULL},
};
static const struct option_keys options = {keys, ARRAY_SIZE(keys)};

static const char *const policies[] = {
	[VFIO_PCI_RESET] = "reset",
	[VFIO_PCI_DETACH] = "detach",
	[VFIO_PCI_PRESERVE] = "preserve",
};

const char *vfio_pci_policy_name(enum vfio_pci_policy policy)
{
	return policies[policy];
}

static void read_host(struct json_reader *r, struct vfio_pci_config *c)
{
	const char *text = json_get_string(r, "host", NULL, 64);
	struct error err = ERROR_INIT;

	if (text && pci_address_parse(text, c->host, &err) < 0)
		problem_add(r->problems, "%s.host: %s", r->path, error_message(&err));
}

static void read_policy(struct json_reader *r, struct vfio_pci_config *c)
{
	const char *text = json_get_string(r, "policy", NULL, 64);

	if (!text)
		return;
	for (unsigned int i = 0; i < ARRAY_SIZE(policies); i++) {
		if (strcmp(policies[i], text) == 0) {
			c->policy = (enum vfio_pci_policy)i;
			return;
		}
	}
	problem_add(r->problems, "%s.policy: must be reset, detach or preserve, not \"%s\"",
		    r->path, text);
}

/* Visible ASCII, as a path of the API and a line of the log show it. */
static void read_id(struct json_reader *r, struct vfio_pci_config *c)
{
	const char *text = json_get_string(r, "id", "", sizeof(c->id));

	if (strlen(text) != json_string_length(json_object_get(r->object, "id"))) {
		problem_add(r->problems, "%s.id: must not contain a NUL byte", r->path);
		return;
	}
	for (const char *p = text; *p; p++) {
		if (*p <= ' ' || *p > '~') {
			problem_add(r->problems, "%s.id: must be printable ASCII without blanks",
				    r->path);
			return;
		}
	}
	snprintf(c->id, sizeof(c->id), "%s", text);
}

static void read_object(json_t *json, const char *path, struct vfio_pci_config *c,
			struct problems *problems)
{
	unsigned int before = problems->count;
	struct json_reader r;
	uint64_t fd;

	json_reader_init(&r, json, path, problems);
	read_host(&r, c);
	fd = json_get_u64(&r, "fd", INT_MAX, 0, INT_MAX);
	read_id(&r, c);
	read_policy(&r, c);
	c->slot = (uint8_t)json_get_u64(&r, "slot", 0, 1, VFIO_PCI_SLOT_MAX);
	c->away = json_get_bool(&r, "away", false);
	json_reader_end(&r);
	if (json_is_object(json) && json_object_get(json, "fd"))
		c->fd = (int)fd;
	if (problems->count > before)
		return;
	if (!c->host[0] == (c->fd < 0))
		problem_add(problems,
			    "%s: must have either host, the address of a PCI device "
			    "(0000:65:00.0), or fd, a descriptor of its character device",
			    path);
	else if (c->fd >= 0 && c->policy == VFIO_PCI_RESET)
		problem_add(
			problems,
			"%s.policy: a device given as a descriptor cannot be opened again after "
			"an update: say policy=detach, or name it by its address",
			path);
}

/* The address alone is enough: "65:00.0,id=nic0" is "host=65:00.0,id=nic0". */
static json_t *from_text(const char *text, const char *path, struct problems *problems)
{
	size_t first = strcspn(text, ",");
	char whole[512];

	if (memchr(text, '=', first))
		return option_text_to_json(&options, text, path, problems);
	if ((size_t)snprintf(whole, sizeof(whole), "host=%s", text) >= sizeof(whole)) {
		problem_add(problems, "%s: is too long", path);
		return NULL;
	}
	return option_text_to_json(&options, whole, path, problems);
}

void vfio_pci_config_read(json_t *json, const char *path, struct vfio_pci_config *ret,
			  struct problems *problems)
{
	json_t *object;

	*ret = (struct vfio_pci_config){.fd = FD_NONE, .policy = VFIO_PCI_RESET};
	if (!json_is_string(json)) {
		read_object(json, path, ret, problems);
		return;
	}
	object = from_text(json_string_value(json), path, problems);
	if (object)
		read_object(object, path, ret, problems);
	json_decref(object);
}

json_t *vfio_pci_config_to_json(const struct vfio_pci_config *c)
{
	json_t *json = json_pack("{ss ss}", "id", c->id, "policy", policies[c->policy]);

	if (json && c->host[0])
		json_object_set_new(json, "host", json_string(c->host));
	if (json && c->fd >= 0)
		json_object_set_new(json, "fd", json_integer(c->fd));
	if (json && c->slot)
		json_object_set_new(json, "slot", json_integer(c->slot));
	if (json && c->away)
		json_object_set_new(json, "away", json_true());
	return json;
}
