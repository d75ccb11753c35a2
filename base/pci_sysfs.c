/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pci_sysfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"

/* Drivers that leave a device's DMA alone: the kernel lets them stand beside vfio in a group. */
static const char *const harmless[] = {PCI_SYSFS_VFIO, "pci-stub", "pcieport"};

int pci_address_parse(const char *text, char ret[PCI_ADDRESS_SIZE], struct error *err)
{
	unsigned int domain = 0, bus, device, function;
	int end = 0;

	if (sscanf(text, "%8x:%2x:%2x.%1x%n", &domain, &bus, &device, &function, &end) != 4 ||
	    text[end]) {
		domain = 0;
		end = 0;
		if (sscanf(text, "%2x:%2x.%1x%n", &bus, &device, &function, &end) != 3)
			end = 0;
	}
	if (end == 0 || text[end] || device > 31 || function > 7)
		return error_set(err, -EINVAL,
				 "\"%s\" is no PCI address: it looks like 0000:65:00.0", text);
	snprintf(ret, PCI_ADDRESS_SIZE, "%04x:%02x:%02x.%x", domain, bus, device, function);
	return 0;
}

void pci_sysfs_path(char path[PATH_MAX], const char *root, const char *address, const char *name)
{
	snprintf(path, PATH_MAX, "%s/sys/bus/pci/devices/%s%s", root, address, name);
}

/* The last part of where a link leads; false: there is none. */
static bool link_name(const char *path, char name[NAME_MAX + 1])
{
	char target[PATH_MAX];
	ssize_t len = readlink(path, target, sizeof(target) - 1);
	const char *slash;

	if (len <= 0)
		return false;
	target[len] = '\0';
	slash = strrchr(target, '/');
	if (slash)
		memmove(target, slash + 1, strlen(slash));
	if (strlen(target) > NAME_MAX)
		return false;
	memcpy(name, target, strlen(target) + 1);
	return true;
}

bool pci_sysfs_link(const char *root, const char *address, const char *name, char ret[NAME_MAX + 1])
{
	char path[PATH_MAX];

	pci_sysfs_path(path, root, address, name);
	return link_name(path, ret);
}

static bool driver_of(const char *root, const char *address, char name[NAME_MAX + 1])
{
	return pci_sysfs_link(root, address, "/driver", name);
}

bool pci_sysfs_entry(const char *root, const char *address, const char *name, const char *prefix,
		     char ret[NAME_MAX + 1])
{
	const struct dirent *entry;
	char path[PATH_MAX];
	bool found = false;
	DIR *dir;

	pci_sysfs_path(path, root, address, name);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		found = entry->d_name[0] != '.' &&
			strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
		if (found)
			snprintf(ret, NAME_MAX + 1, "%s", entry->d_name);
	}
	closedir(dir);
	return found;
}

int pci_sysfs_write(const char *path, const char *text)
{
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int refuse_driver(const char *root, const char *address, struct error *err)
{
	char driver[NAME_MAX + 1];

	if (!driver_of(root, address, driver))
		return error_set(err, -ENXIO,
				 "device %s: no driver has it; bind it to vfio-pci: luoctl device "
				 "bind %s",
				 address, address);
	if (strcmp(driver, PCI_SYSFS_VFIO) == 0)
		return 0;
	return error_set(
		err, -EBUSY,
		"device %s: the host's driver %s has it; bind it to vfio-pci: luoctl device "
		"bind %s",
		address, driver, address);
}

int pci_sysfs_find_vfio(const char *root, const char *address, char ret[PATH_MAX],
			struct error *err)
{
	char path[PATH_MAX], name[NAME_MAX + 1];
	int r;

	pci_sysfs_path(path, root, address, "");
	if (access(path, F_OK) < 0)
		return error_set(
			err, -ENODEV,
			"device %s: this host has no such PCI device (lspci -D lists them)",
			address);
	if (!pci_sysfs_link(root, address, "/iommu_group", name))
		return error_set(err, -EXDEV, "device %s: " PCI_SYSFS_NO_IOMMU, address);
	/* vfio-pci makes one, and so do drivers that do the same for one kind of device. */
	if (pci_sysfs_entry(root, address, "/vfio-dev", "vfio", name)) {
		snprintf(ret, PATH_MAX, "%s/dev/vfio/devices/%s", root, name);
		return 0;
	}
	r = refuse_driver(root, address, err);
	if (r < 0)
		return r;
	return error_set(err, -EOPNOTSUPP,
			 "device %s: vfio made no character device for it; the host's kernel needs "
			 "CONFIG_VFIO_DEVICE_CDEV",
			 address);
}

static bool is_harmless(const char *driver)
{
	for (size_t i = 0; i < ARRAY_SIZE(harmless); i++) {
		if (strcmp(driver, harmless[i]) == 0)
			return true;
	}
	return false;
}

bool pci_sysfs_is_vfio(const char *root, const char *address)
{
	char name[NAME_MAX + 1];

	return pci_sysfs_entry(root, address, "/vfio-dev", "vfio", name) ||
	       (driver_of(root, address, name) && strcmp(name, PCI_SYSFS_VFIO) == 0);
}

bool pci_sysfs_is_of_host(const char *root, const char *address, char driver[NAME_MAX + 1])
{
	return driver_of(root, address, driver) && !is_harmless(driver) &&
	       !pci_sysfs_is_vfio(root, address);
}

bool pci_sysfs_group_blocker(const char *root, const char *address, char *text, size_t size)
{
	char path[PATH_MAX], driver[NAME_MAX + 1];
	const struct dirent *entry;
	bool found = false;
	DIR *dir;

	pci_sysfs_path(path, root, address, "/iommu_group/devices");
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= PCI_ADDRESS_SIZE ||
		    !pci_sysfs_is_of_host(root, entry->d_name, driver))
			continue;
		snprintf(text, size, "%s (driver %s)", entry->d_name, driver);
		found = true;
	}
	closedir(dir);
	return found;
}
