/* SPDX-License-Identifier: Apache-2.0 */
/*
 * luod's registry from the previous kernel: any bytes in the memfd, and any document behind a right
 * checksum (the first byte of the input chooses). What is accepted can be written and read again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/util.h"
#include "luo/luod/registry_memfd.h"
#include "luo/luod/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void read_again(const struct registry *reg)
{
	struct error err = ERROR_INIT;
	struct registry again;
	json_t *doc = registry_to_json(reg, false), *twice;

	must(doc && registry_init(&again) == 0);
	if (registry_from_json(doc, &again, &err) < 0)
		abort();
	twice = registry_to_json(&again, false);
	must(json_equal(doc, twice));
	for (const struct vm_record *record = again.vms; record; record = record->next)
		json_decref(vm_view(&again, record));
	json_decref(update_view(&again));
	json_decref(twice);
	json_decref(doc);
	registry_done(&again);
}

static void from_memfd(const uint8_t *data, size_t size)
{
	_cleanup_fd_ int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct registry reg;

	must(fd >= 0 && registry_init(&reg) == 0);
	must(write(fd, data, size) == (ssize_t)size);
	if (registry_memfd_read(fd, &reg, NULL) == 0) {
		(void)registry_memfd_read_history(fd, &reg, NULL);
		read_again(&reg);
	} else {
		must(!reg.vms && reg.vm_count == 0);
	}
	registry_done(&reg);
}

static void from_document(const uint8_t *data, size_t size)
{
	json_t *doc = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	struct registry reg;

	if (!doc)
		return;
	must(registry_init(&reg) == 0);
	if (registry_from_json(doc, &reg, NULL) == 0)
		read_again(&reg);
	else
		must(!reg.vms && reg.vm_count == 0);
	registry_done(&reg);
	json_decref(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 'H')
		from_memfd(data, size);
	else
		from_document(data, size);
	return 0;
}
