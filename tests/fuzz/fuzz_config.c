/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's configuration: any JSON document. What is refused leaves the configuration as it was and
 * says why; what is accepted is the same after being written and read again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "vmm/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void read_again(const struct vm_config *config)
{
	struct error err = ERROR_INIT;
	struct vm_config again;
	json_t *doc = vm_config_to_json(config), *twice;

	must(doc);
	/* Without a name there is nothing that could be read: that is for the whole to say. */
	if (!config->id[0])
		json_object_del(doc, "id");
	vm_config_init(&again);
	must(vm_config_from_json(doc, &again, &err) == 0);
	twice = vm_config_to_json(&again);
	if (!config->id[0])
		json_object_del(twice, "id");
	must(json_equal(doc, twice));
	json_decref(twice);
	json_decref(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct vm_config config, before;
	json_t *doc = json_loadb((const char *)data, size, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);

	if (!doc)
		return 0;
	memset(&config, 0, sizeof(config));
	vm_config_init(&config);
	before = config;
	if (vm_config_from_json(doc, &config, &err) < 0) {
		must(err.message[0] != '\0');
		must(memcmp(&config, &before, sizeof(config)) == 0);
	} else {
		read_again(&config);
		/* Looks at the host only: it must get along with any path. */
		(void)vm_config_validate(&config, &err);
	}
	json_decref(doc);
	return 0;
}
