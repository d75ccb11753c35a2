/* SPDX-License-Identifier: Apache-2.0 */
/* What one device is, and what can become of it. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/hostdev/hostdev.h"
#include "luo/preflight/preflight.h"

#define CLASS_BRIDGE 0x06U
#define CMDLINE_MAX  65536

/* PCI Code and ID Assignment Specification, 1: base classes. */
static const char *const kinds[] = {
	[0x00] = "unclassified", [0x01] = "storage",	   [0x02] = "network",
	[0x03] = "display",	 [0x04] = "multimedia",	   [0x05] = "memory",
	[0x06] = "bridge",	 [0x07] = "communication", [0x08] = "system",
	[0x09] = "input",	 [0x0a] = "docking",	   [0x0b] = "processor",
	[0x0c] = "serial bus",	 [0x0d] = "wireless",	   [0x0e] = "intelligent",
	[0x0f] = "satellite",	 [0x10] = "encryption",	   [0x11] = "signal processing",
	[0x12] = "accelerator",
};

static bool is_switched_on(const char *root)
{
	_cleanup_free_ char *cmdline = sysfs_load(root, "/proc/cmdline", CMDLINE_MAX, NULL);

	return cmdline && strstr(cmdline, HANDLERS_SWITCH);
}

void hostdev_kernel_read(const char *root, struct hostdev_kernel *ret)
{
	struct preflight *p = calloc(1, sizeof(*p));
	const struct preflight_request request = {.root = root};
	char path[PATH_MAX];

	*ret = (struct hostdev_kernel){0};
	snprintf(path, sizeof(path), "%s/dev/iommu", root);
	ret->iommufd = access(path, F_OK) == 0;
	if (!p)
		return;
	p->request = &request;
	p->root = root;
	preflight_running(p);
	ret->handlers = kernel_handler_version(&p->running, "vfio-pci-v") != 0 &&
			kernel_handler_version(&p->running, "iommufd-v") != 0;
	ret->off = ret->handlers && kernel_handler_version(&p->running, HANDLERS_WITH_SWITCH) &&
		   !is_switched_on(root);
	free(p);
}

static void file_path(char path[PATH_MAX], const char *address, const char *name)
{
	pci_sysfs_path(path, "", address, name);
}

unsigned int hostdev_number(const char *root, const char *address, const char *name)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];

	file_path(path, address, name);
	text = sysfs_load(root, path, 64, NULL);
	return text ? (unsigned int)strtoul(text, NULL, 16) : 0;
}

bool hostdev_is_bridge(const char *root, const char *address)
{
	return hostdev_number(root, address, "/class") >> 16 == CLASS_BRIDGE;
}

size_t hostdev_members(const char *root, const char *address,
		       char ret[HOSTDEV_GROUP_MAX][PCI_ADDRESS_SIZE])
{
	const struct dirent *entry;
	char path[PATH_MAX];
	size_t count = 0;
	DIR *dir;

	pci_sysfs_path(path, root, address, "/iommu_group/devices");
	dir = opendir(path);
	if (!dir)
		return 0;
	while (count < HOSTDEV_GROUP_MAX && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= PCI_ADDRESS_SIZE ||
		    strcmp(entry->d_name, address) == 0)
			continue;
		snprintf(ret[count++], PCI_ADDRESS_SIZE, "%.16s", entry->d_name);
	}
	closedir(dir);
	return count;
}

static json_t *link_or_null(const char *root, const char *address, const char *name)
{
	char text[NAME_MAX + 1];

	return pci_sysfs_link(root, address, name, text) ? json_string(text) : json_null();
}

/* A line of a file without its end; "(null)" is how the kernel says that there is no override. */
static json_t *line_or_null(const char *root, const char *address, const char *name)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];

	file_path(path, address, name);
	text = sysfs_load(root, path, 256, NULL);
	if (text)
		text[strcspn(text, "\n")] = '\0';
	return text && text[0] && strcmp(text, "(null)") != 0 ? json_string(text) : json_null();
}

static json_t *words_of(const char *root, const char *address, const char *name)
{
	json_t *array = json_array(), *line = line_or_null(root, address, name);
	_cleanup_free_ char *copy = json_is_string(line) ? strdup(json_string_value(line)) : NULL;
	char *rest = copy, *word;

	while ((word = strsep(&rest, " "))) {
		if (word[0])
			json_array_append_new(array, json_string(word));
	}
	json_decref(line);
	return array;
}

static json_t *members_of(const char *root, const char *address)
{
	char members[HOSTDEV_GROUP_MAX][PCI_ADDRESS_SIZE];
	size_t count = hostdev_members(root, address, members);
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_pack("{ss so}", "address", members[i], "driver",
						       link_or_null(root, members[i], "/driver")));
	return array;
}

/* ---- Whether, and what can become of it. ---- */

/* What no binding mends; false: nothing. */
static bool never(const char *root, const char *address, const struct hostdev_kernel *kernel,
		  struct error *why)
{
	char group[NAME_MAX + 1];

	if (hostdev_is_bridge(root, address))
		error_set(why, -EOPNOTSUPP, "it is a bridge: pass the devices behind it through");
	else if (!pci_sysfs_link(root, address, "/iommu_group", group))
		error_set(why, -EXDEV, PCI_SYSFS_NO_IOMMU);
	else if (!kernel->iommufd)
		error_set(why, -ENOENT,
			  "this kernel has no iommufd: CONFIG_IOMMUFD, or modprobe iommufd");
	else
		return false;
	return true;
}

/* Whether a VM could have it at once. */
static bool is_ready(const char *root, const char *address, const struct hostdev_kernel *kernel,
		     struct error *why)
{
	char path[PATH_MAX], other[64];

	if (never(root, address, kernel, why) || pci_sysfs_find_vfio(root, address, path, why) < 0)
		return false;
	if (!pci_sysfs_group_blocker(root, address, other, sizeof(other)))
		return true;
	error_set(why, -EPERM,
		  "%s of its IOMMU group is used by the host; bind the whole group: luoctl device "
		  "bind --group %s",
		  other, address);
	return false;
}

static bool can_preserve(const char *root, const char *address, const struct hostdev_kernel *kernel,
			 struct error *why)
{
	char members[HOSTDEV_GROUP_MAX][PCI_ADDRESS_SIZE], physfn[NAME_MAX + 1];

	if (never(root, address, kernel, why))
		return false;
	if (pci_sysfs_link(root, address, "/physfn", physfn))
		error_set(why, -EOPNOTSUPP,
			  "it is a virtual function of %s, which kernels do not hand over", physfn);
	else if (hostdev_members(root, address, members) > 0)
		error_set(why, -EOPNOTSUPP,
			  "%s shares its IOMMU group, and kernels hand over devices that are alone "
			  "in theirs",
			  members[0]);
	else if (!kernel->handlers)
		error_set(why, -EOPNOTSUPP,
			  "this kernel has no live update handlers for vfio-pci and iommufd");
	else if (kernel->off)
		error_set(why, -EOPNOTSUPP,
			  "this kernel's live update handlers for devices are off: it "
			  "takes " HANDLERS_SWITCH " on its command line");
	else
		return true;
	return false;
}

static json_t *policy(const char *name, bool possible, const struct error *why)
{
	return json_pack("{ss sb so}", "policy", name, "possible", possible, "why-not",
			 possible ? json_null() : json_string(error_message(why)));
}

static json_t *policies_of(const char *root, const char *address,
			   const struct hostdev_kernel *kernel)
{
	struct error no = ERROR_INIT, no_preserve = ERROR_INIT;
	bool can = !never(root, address, kernel, &no);
	bool preserve = can_preserve(root, address, kernel, &no_preserve);

	return json_pack("[ooo]", policy("reset", can, &no), policy("detach", can, &no),
			 policy("preserve", preserve, &no_preserve));
}

json_t *hostdev_describe(const char *root, const char *address, const struct hostdev_kernel *kernel)
{
	unsigned int class = hostdev_number(root, address, "/class"), base = class >> 16;
	char class_text[8], vendor[8], device[8], name[NAME_MAX + 1];
	struct error why = ERROR_INIT;
	bool ready = is_ready(root, address, kernel, &why);

	snprintf(class_text, sizeof(class_text), "%06x", class & 0xffffff);
	snprintf(vendor, sizeof(vendor), "%04x", hostdev_number(root, address, "/vendor") & 0xffff);
	snprintf(device, sizeof(device), "%04x", hostdev_number(root, address, "/device") & 0xffff);
	return json_pack(
		"{ss ss ss ss ss so so so so so sb sb so sb so so}", "address", address, "class",
		class_text, "kind", base < ARRAY_SIZE(kinds) ? kinds[base] : "other", "vendor",
		vendor, "device", device, "driver", link_or_null(root, address, "/driver"),
		"driver-override", line_or_null(root, address, "/driver_override"), "iommu-group",
		link_or_null(root, address, "/iommu_group"), "group-members",
		members_of(root, address), "reset-methods",
		words_of(root, address, "/reset_method"), "bridge",
		hostdev_is_bridge(root, address), "virtual-function",
		pci_sysfs_link(root, address, "/physfn", name), "vfio-device",
		pci_sysfs_entry(root, address, "/vfio-dev", "vfio", name) ? json_string(name)
									  : json_null(),
		"ready", ready, "why-not", ready ? json_null() : json_string(error_message(&why)),
		"policies", policies_of(root, address, kernel));
}
