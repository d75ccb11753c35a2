/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/hostdev/hostdev.h"

/* Domain, bus, device and function are of fixed width, but for a long domain. */
static int compare(const struct dirent **a, const struct dirent **b)
{
	size_t first = strlen((*a)->d_name), second = strlen((*b)->d_name);

	if (first != second)
		return first < second ? -1 : 1;
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_address(const struct dirent *entry)
{
	char address[PCI_ADDRESS_SIZE];

	return pci_address_parse(entry->d_name, address, NULL) == 0;
}

int hostdev_list(const char *root, bool all, json_t **ret, struct error *err)
{
	struct hostdev_kernel kernel;
	struct dirent **entries;
	char path[PATH_MAX];
	json_t *array;
	int count;

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices", root);
	count = scandir(path, &entries, is_address, compare);
	if (count < 0)
		return error_sys(err, -errno, "the host's PCI devices cannot be listed (%s)", path);
	hostdev_kernel_read(root, &kernel);
	array = json_array();
	for (int i = 0; i < count; i++) {
		if (array && (all || !hostdev_is_bridge(root, entries[i]->d_name)) &&
		    json_array_append_new(
			    array, hostdev_describe(root, entries[i]->d_name, &kernel)) < 0) {
			json_decref(array);
			array = NULL;
		}
		free(entries[i]);
	}
	free(entries);
	if (!array)
		return error_set(err, -ENOMEM, "device list: out of memory");
	*ret = array;
	return 0;
}
