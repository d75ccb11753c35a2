/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving a device to vfio-pci and back. driver_override decides which driver the next probe takes,
 * and stays until it is written again: a device that comes and goes (hot plug) keeps it not.
 */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/hostdev/hostdev.h"
#include "luo/preflight/process.h"

#define OVERRIDE "/driver_override"

static int check_there(const char *root, const char *address, struct error *err)
{
	char path[PATH_MAX];

	pci_sysfs_path(path, root, address, "");
	if (access(path, F_OK) == 0)
		return 0;
	return error_set(err, -ENODEV,
			 "device %s: this host has no such PCI device (luoctl device list)",
			 address);
}

static int check_candidate(const char *root, const char *address, const char *driver,
			   struct error *err)
{
	char path[PATH_MAX], group[NAME_MAX + 1];
	int r = check_there(root, address, err);

	if (r < 0)
		return r;
	if (hostdev_is_bridge(root, address))
		return error_set(err, -EOPNOTSUPP,
				 "device %s: is a bridge: bind the devices behind it", address);
	if (!pci_sysfs_link(root, address, "/iommu_group", group))
		return error_set(err, -EXDEV, "device %s: " PCI_SYSFS_NO_IOMMU, address);
	snprintf(path, sizeof(path), "%s/sys/bus/pci/drivers/%s", root, driver);
	if (strchr(driver, '/') || access(path, F_OK) < 0)
		return error_set(err, -ENOENT,
				 "device %s: this kernel has no driver %s: modprobe %s, or use a "
				 "kernel with it (CONFIG_VFIO_PCI)",
				 address, driver, driver);
	return 0;
}

static int write_to(const char *path, const char *text, const char *address, struct error *err)
{
	int r = pci_sysfs_write(path, text);

	if (r == -EACCES || r == -EPERM)
		return error_set(err, r,
				 "device %s: %s cannot be written by this user: run as root",
				 address, path);
	return r < 0 ? error_sys(err, r, "device %s: writing to %s", address, path) : 0;
}

static int override(const char *root, const char *address, const char *driver, struct error *err)
{
	char path[PATH_MAX];

	pci_sysfs_path(path, root, address, OVERRIDE);
	return write_to(path, driver, address, err);
}

/* Takes it from whichever driver has it; fine if none has. */
static int release(const char *root, const char *address, struct error *err)
{
	char path[PATH_MAX], driver[NAME_MAX + 1];
	int r;

	if (!pci_sysfs_link(root, address, "/driver", driver))
		return 0;
	pci_sysfs_path(path, root, address, "/driver/unbind");
	r = write_to(path, address, address, err);
	/* Gone by itself meanwhile. */
	return r == -ENODEV ? 0 : r;
}

static int probe(const char *root, const char *address, struct error *err)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/sys/bus/pci/drivers_probe", root);
	return write_to(path, address, address, err);
}

static bool has_driver(const char *root, const char *address, const char *driver)
{
	char name[NAME_MAX + 1];

	return pci_sysfs_link(root, address, "/driver", name) && strcmp(name, driver) == 0;
}

/* As well as it goes: what failed before is what is told. */
static void take_back(const char *root, const char *address)
{
	override(root, address, "\n", NULL);
	probe(root, address, NULL);
}

static int bind_one(const char *root, const char *address, const char *driver, struct error *err)
{
	int r = override(root, address, driver, err);

	if (r == 0)
		r = release(root, address, err);
	if (r == 0)
		r = probe(root, address, err);
	if (r == 0 && !has_driver(root, address, driver))
		r = error_set(
			err, -EIO,
			"device %s: %s did not take it; the host's kernel log says why (dmesg)",
			address, driver);
	if (r < 0)
		take_back(root, address);
	return r;
}

static int check_unused(const char *root, const char *address, struct error *err)
{
	char text[160];

	if (!hostdev_in_use(root, address, text, sizeof(text)))
		return 0;
	return error_set(err, -EBUSY,
			 "device %s: the host uses it: %s; end that first, or say --force", address,
			 text);
}

/* Of the group what must be bound with it: all that a driver of the host has. */
static int find_others(const char *root, const char *address,
		       const struct hostdev_bind_options *options,
		       char others[HOSTDEV_GROUP_MAX][PCI_ADDRESS_SIZE], size_t *ret,
		       struct error *err)
{
	char members[HOSTDEV_GROUP_MAX][PCI_ADDRESS_SIZE], driver[NAME_MAX + 1];
	size_t count = hostdev_members(root, address, members);

	*ret = 0;
	for (size_t i = 0; i < count; i++) {
		if (!pci_sysfs_is_of_host(root, members[i], driver))
			continue;
		if (!options->group)
			return error_set(
				err, -EPERM,
				"device %s: %s (driver %s) is in the same IOMMU group, and "
				"one can only be given away with the other: say --group",
				address, members[i], driver);
		memcpy(others[(*ret)++], members[i], PCI_ADDRESS_SIZE);
	}
	return 0;
}

/* All or none. */
static int bind_all(const char *root, char list[][PCI_ADDRESS_SIZE], size_t count,
		    const char *driver, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		/* The one that was named comes last; others of its group may be of another kind. */
		int r = bind_one(root, list[i], i + 1 == count ? driver : PCI_SYSFS_VFIO, err);

		if (r == 0)
			continue;
		while (i-- > 0) {
			release(root, list[i], NULL);
			take_back(root, list[i]);
		}
		return r;
	}
	return 0;
}

int hostdev_bind(const char *root, const char *address, const struct hostdev_bind_options *options,
		 unsigned int *ret_count, struct error *err)
{
	const char *driver = options->driver ? options->driver : PCI_SYSFS_VFIO;
	char list[HOSTDEV_GROUP_MAX + 1][PCI_ADDRESS_SIZE], path[PATH_MAX];
	size_t count = 0;
	int r = check_candidate(root, address, driver, err);

	*ret_count = 0;
	if (r == 0)
		r = find_others(root, address, options, list, &count, err);
	if (r == 0 && (count > 0 || !has_driver(root, address, driver)))
		snprintf(list[count++], PCI_ADDRESS_SIZE, "%s", address);
	for (size_t i = 0; i < count && r == 0 && !options->force; i++)
		r = check_unused(root, list[i], err);
	if (r == 0)
		r = bind_all(root, list, count, driver, err);
	if (r == 0)
		r = pci_sysfs_find_vfio(root, address, path, err);
	if (r == 0)
		*ret_count = (unsigned int)count;
	return r;
}

int hostdev_unbind(const char *root, const char *address, bool force, char driver[NAME_MAX + 1],
		   struct error *err)
{
	char cdev[PATH_MAX], holder[64], name[NAME_MAX + 1];
	int r = check_there(root, address, err), pid = 0;

	if (r < 0)
		return r;
	if (!pci_sysfs_is_vfio(root, address))
		return error_set(
			err, -EINVAL,
			"device %s: no driver of vfio has it: there is nothing to give back",
			address);
	if (pci_sysfs_entry(root, address, "/vfio-dev", "vfio", name)) {
		snprintf(cdev, sizeof(cdev), "/dev/vfio/devices/%s", name);
		pid = process_holder(root, cdev, holder, sizeof(holder));
	}
	if (pid > 0 && !force)
		return error_set(
			err, -EBUSY,
			"device %s: %s (pid %d) has it: remove it from that VM "
			"(vm.remove-device), or say --force: its guest is asked for it and "
			"loses it after 10 seconds",
			address, holder, pid);
	r = override(root, address, "\n", err);
	if (r == 0)
		r = release(root, address, err);
	if (r == 0)
		r = probe(root, address, err);
	/* That no driver wants it is an error of the probe. */
	if (r == -EINVAL || r == -ENODEV)
		r = 0;
	if (r == 0 && !pci_sysfs_link(root, address, "/driver", driver))
		driver[0] = '\0';
	return r;
}
