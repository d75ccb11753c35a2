/* SPDX-License-Identifier: Apache-2.0 */
/*
 * luoctl device: what is told of the host's devices, and each reason why one cannot be given away.
 * sysfs is a folder; what a write to it does is done by the test, as Linux
 * Documentation/ABI/testing/sysfs-bus-pci has it. That the kernel does so is for the scenarios
 * passthrough-* to show.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/util.h"
#include "luo/hostdev/hostdev.h"

#define NVME	"0000:65:00.0"
#define NIC	"0000:65:00.1"
#define BRIDGE	"0000:00:1c.0"
#define DEVICES "/sys/bus/pci/devices/"
/* PCI Code and ID Assignment Specification, 1.2, 1.3 and 1.7: NVM Express, Ethernet, PCI-to-PCI. */
#define SPEC_CLASS_NVME	    "0x010802"
#define SPEC_CLASS_ETHERNET "0x020000"
#define SPEC_CLASS_BRIDGE   "0x060400"

static char root[64];
static struct {
	char path[64]; /* the end of a path whose write fails; "": none */
	int code;
	bool no_cdev;	/* vfio makes no character device */
	bool vfio_sick; /* vfio-pci takes no device */
	unsigned int writes;
} kernel;
static const struct hostdev_kernel good = {.iommufd = true, .handlers = true};
static const struct hostdev_bind_options plain, with_group = {.group = true},
						forced = {.force = true};

static void path_of(char path[512], const char *name)
{
	snprintf(path, 512, "%s%s", root, name);
}

static void folder(const char *name)
{
	char path[512];

	path_of(path, name);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	mkdir(path, 0700);
}

static void put(const char *name, const char *text)
{
	char path[512];
	FILE *file;

	path_of(path, name);
	file = fopen(path, "w");
	if (!file)
		abort();
	fputs(text, file);
	fclose(file);
}

static void link_to(const char *name, const char *target)
{
	char path[512];

	path_of(path, name);
	unlink(path);
	if (symlink(target, path) < 0)
		abort();
}

static void drop(const char *name)
{
	char path[512];

	path_of(path, name);
	remove(path);
}

static void set_driver(const char *address, const char *driver)
{
	char name[256], target[256];

	snprintf(name, sizeof(name), DEVICES "%s/vfio-dev/vfio0", address);
	drop(name);
	snprintf(name, sizeof(name), DEVICES "%s/driver", address);
	drop(name);
	if (!driver)
		return;
	snprintf(target, sizeof(target), "../../../bus/pci/drivers/%s", driver);
	link_to(name, target);
	snprintf(name, sizeof(name), DEVICES "%s/vfio-dev/vfio0", address);
	if (strstr(driver, "vfio") && !kernel.no_cdev)
		folder(name);
}

static void device(const char *address, const char *class, const char *driver, const char *group)
{
	char name[256], target[256];

	snprintf(name, sizeof(name), DEVICES "%s", address);
	folder(name);
	snprintf(name, sizeof(name), DEVICES "%s/class", address);
	put(name, class);
	snprintf(name, sizeof(name), DEVICES "%s/vendor", address);
	put(name, "0x8086\n");
	snprintf(name, sizeof(name), DEVICES "%s/device", address);
	put(name, "0x1572\n");
	snprintf(name, sizeof(name), DEVICES "%s/driver_override", address);
	put(name, "(null)\n");
	snprintf(name, sizeof(name), DEVICES "%s/reset_method", address);
	put(name, "flr bus\n");
	if (group) {
		snprintf(name, sizeof(name), "/sys/kernel/iommu_groups/%s/devices/%s", group,
			 address);
		folder(name);
		snprintf(name, sizeof(name), DEVICES "%s/iommu_group", address);
		snprintf(target, sizeof(target), "%s/sys/kernel/iommu_groups/%s", root, group);
		link_to(name, target);
	}
	set_driver(address, driver);
}

static int setup(void **state _unused_)
{
	memset(&kernel, 0, sizeof(kernel));
	snprintf(root, sizeof(root), "/tmp/hostdev-XXXXXX");
	if (!mkdtemp(root))
		abort();
	folder("/sys/bus/pci/drivers/vfio-pci");
	folder("/sys/bus/pci/drivers/nvme");
	folder("/sys/bus/pci/drivers/i40e");
	folder("/dev/iommu");
	folder("/proc/self");
	device(NVME, SPEC_CLASS_NVME, "nvme", "7");
	device(NIC, SPEC_CLASS_ETHERNET, "i40e", "8");
	device(BRIDGE, SPEC_CLASS_BRIDGE, "pcieport", "1");
	return 0;
}

static int teardown(void **state _unused_)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

/* ---- The kernel's part. ---- */

static bool ends_with(const char *path, const char *end)
{
	size_t len = strlen(path), n = strlen(end);

	return n > 0 && len >= n && strcmp(path + len - n, end) == 0;
}

/* The driver that matches it: the override, or its own. */
static void probe(const char *address)
{
	char name[256], path[512], text[64] = "";
	FILE *file;

	snprintf(name, sizeof(name), DEVICES "%s/driver_override", address);
	path_of(path, name);
	file = fopen(path, "r");
	if (!file || !fgets(text, sizeof(text), file))
		abort();
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
	if (strstr(text, "vfio"))
		set_driver(address, kernel.vfio_sick ? NULL : text);
	else
		set_driver(address, strcmp(address, NVME) == 0 ? "nvme" : "i40e");
}

int __wrap_pci_sysfs_write(const char *path, const char *text);
int __wrap_pci_sysfs_write(const char *path, const char *text)
{
	kernel.writes++;
	if (ends_with(path, kernel.path))
		return -kernel.code;
	assert_true(strncmp(path, root, strlen(root)) == 0);
	if (ends_with(path, "/drivers_probe"))
		probe(text);
	else if (ends_with(path, "/driver/unbind"))
		set_driver(text, NULL);
	else if (ends_with(path, "/driver_override"))
		put(path + strlen(root), text[0] == '\n' ? "(null)\n" : text);
	else
		fail_msg("nobody writes to %s", path);
	return 0;
}

static void fails(const char *path, int code)
{
	snprintf(kernel.path, sizeof(kernel.path), "%s", path);
	kernel.code = code;
}

static void assert_driver(const char *address, const char *expected)
{
	char name[NAME_MAX + 1] = "";

	pci_sysfs_link(root, address, "/driver", name);
	assert_string_equal(name, expected);
}

static void assert_says(const struct error *err, const char *text)
{
	if (!strstr(err->message, text))
		fail_msg("\"%s\" does not say \"%s\"", err->message, text);
}

/* ---- What is told. ---- */

static const char *text_of(const json_t *doc, const char *key)
{
	const char *text = json_string_value(json_object_get(doc, key));

	return text ? text : "";
}

/* policy: 0 reset, 1 detach, 2 preserve. */
static void assert_policy(const json_t *doc, size_t policy, const char *why_not)
{
	const json_t *item = json_array_get(json_object_get(doc, "policies"), policy);
	const char *why = text_of(item, "why-not");

	assert_int_equal(json_is_true(json_object_get(item, "possible")), why_not == NULL);
	if (why_not && !strstr(why, why_not))
		fail_msg("\"%s\" does not say \"%s\"", why, why_not);
}

static void test_describe(void **state _unused_)
{
	json_t *doc = hostdev_describe(root, NVME, &good);

	assert_string_equal(text_of(doc, "address"), NVME);
	assert_string_equal(text_of(doc, "class"), "010802");
	assert_string_equal(text_of(doc, "kind"), "storage");
	assert_string_equal(text_of(doc, "vendor"), "8086");
	assert_string_equal(text_of(doc, "device"), "1572");
	assert_string_equal(text_of(doc, "driver"), "nvme");
	assert_true(json_is_null(json_object_get(doc, "driver-override")));
	assert_string_equal(text_of(doc, "iommu-group"), "7");
	assert_int_equal(json_array_size(json_object_get(doc, "group-members")), 0);
	assert_int_equal(json_array_size(json_object_get(doc, "reset-methods")), 2);
	assert_true(json_is_false(json_object_get(doc, "ready")));
	assert_non_null(strstr(text_of(doc, "why-not"), "luoctl device bind " NVME));
	for (size_t i = 0; i < 3; i++)
		assert_policy(doc, i, NULL);
	json_decref(doc);
	set_driver(NVME, "vfio-pci");
	doc = hostdev_describe(root, NVME, &good);
	assert_true(json_is_true(json_object_get(doc, "ready")));
	assert_string_equal(text_of(doc, "vfio-device"), "vfio0");
	json_decref(doc);
}

static void assert_no_policy(const char *address, const struct hostdev_kernel *k, const char *why)
{
	json_t *doc = hostdev_describe(root, address, k);

	assert_true(json_is_false(json_object_get(doc, "ready")));
	for (size_t i = 0; i < 3; i++)
		assert_policy(doc, i, why);
	json_decref(doc);
}

static void test_no_policy(void **state _unused_)
{
	static const struct hostdev_kernel old = {.iommufd = false};

	assert_no_policy(BRIDGE, &good, "is a bridge");
	assert_no_policy(NVME, &old, "CONFIG_IOMMUFD");
	drop(DEVICES NVME "/iommu_group");
	assert_no_policy(NVME, &good, "intel_iommu=on");
}

static void test_no_preserve(void **state _unused_)
{
	static const struct hostdev_kernel released = {.iommufd = true};
	static const struct hostdev_kernel off = {.iommufd = true, .handlers = true, .off = true};
	json_t *doc = hostdev_describe(root, NVME, &released);

	assert_policy(doc, 0, NULL);
	assert_policy(doc, 2, "no live update handlers");
	json_decref(doc);
	doc = hostdev_describe(root, NVME, &off);
	assert_policy(doc, 2, "liveupdate_devices=on");
	json_decref(doc);
	link_to(DEVICES NVME "/physfn", "../0000:65:10.0");
	doc = hostdev_describe(root, NVME, &good);
	assert_policy(doc, 1, NULL);
	assert_policy(doc, 2, "virtual function of 0000:65:10.0");
	assert_true(json_is_true(json_object_get(doc, "virtual-function")));
	json_decref(doc);
}

static void test_group(void **state _unused_)
{
	json_t *doc, *members;

	device(NIC, SPEC_CLASS_ETHERNET, "i40e", "7");
	set_driver(NVME, "vfio-pci");
	doc = hostdev_describe(root, NVME, &good);
	members = json_object_get(doc, "group-members");
	assert_int_equal(json_array_size(members), 1);
	assert_string_equal(text_of(json_array_get(members, 0), "address"), NIC);
	assert_string_equal(text_of(json_array_get(members, 0), "driver"), "i40e");
	assert_non_null(strstr(text_of(doc, "why-not"), "--group " NVME));
	assert_policy(doc, 0, NULL);
	assert_policy(doc, 2, NIC " shares its IOMMU group");
	json_decref(doc);
}

static void test_list(void **state _unused_)
{
	struct error err = ERROR_INIT;
	json_t *list = NULL;

	device("10000:01:00.0", SPEC_CLASS_NVME, NULL, NULL);
	assert_int_equal(hostdev_list(root, false, &list, &err), 0);
	assert_int_equal(json_array_size(list), 3);
	assert_string_equal(text_of(json_array_get(list, 0), "address"), NVME);
	assert_string_equal(text_of(json_array_get(list, 1), "address"), NIC);
	assert_string_equal(text_of(json_array_get(list, 2), "address"), "10000:01:00.0");
	json_decref(list);
	assert_int_equal(hostdev_list(root, true, &list, &err), 0);
	assert_string_equal(text_of(json_array_get(list, 0), "address"), BRIDGE);
	json_decref(list);
	assert_int_equal(hostdev_list("/nowhere", true, &list, &err), -ENOENT);
	assert_says(&err, "/nowhere/sys/bus/pci/devices");
}

/* ---- Binding. ---- */

static void test_bind(void **state _unused_)
{
	struct error err = ERROR_INIT;
	char driver[NAME_MAX + 1];
	unsigned int count = 9;

	assert_int_equal(hostdev_bind(root, NVME, &plain, &count, &err), 0);
	assert_int_equal(count, 1);
	assert_driver(NVME, "vfio-pci");
	assert_int_equal(hostdev_bind(root, NVME, &plain, &count, &err), 0);
	assert_int_equal(count, 0);
	assert_int_equal(hostdev_unbind(root, NVME, false, driver, &err), 0);
	assert_string_equal(driver, "nvme");
	assert_driver(NVME, "nvme");
	assert_int_equal(hostdev_unbind(root, NVME, false, driver, &err), -EINVAL);
	assert_says(&err, "nothing to give back");
	/* One that no driver has. */
	set_driver(NVME, NULL);
	assert_int_equal(hostdev_bind(root, NVME, &plain, &count, &err), 0);
	assert_int_equal(count, 1);
}

/* One that knows a kind of device better than vfio-pci. */
static void test_bind_to_variant(void **state _unused_)
{
	static const struct hostdev_bind_options other = {.driver = "nvme-vfio-pci"};
	struct error err = ERROR_INIT;
	char driver[NAME_MAX + 1];
	unsigned int count;
	json_t *doc;

	assert_int_equal(hostdev_bind(root, NVME, &other, &count, &err), -ENOENT);
	assert_says(&err, "no driver nvme-vfio-pci");
	folder("/sys/bus/pci/drivers/nvme-vfio-pci");
	assert_int_equal(hostdev_bind(root, NVME, &other, &count, &err), 0);
	assert_driver(NVME, "nvme-vfio-pci");
	doc = hostdev_describe(root, NVME, &good);
	assert_true(json_is_true(json_object_get(doc, "ready")));
	json_decref(doc);
	/* Beside another one of its group. */
	device(NIC, SPEC_CLASS_ETHERNET, "i40e", "7");
	assert_int_equal(hostdev_bind(root, NIC, &plain, &count, &err), 0);
	assert_int_equal(hostdev_unbind(root, NVME, false, driver, &err), 0);
	assert_string_equal(driver, "nvme");
}

static void refused(const char *address, const struct hostdev_bind_options *how, int code,
		    const char *text)
{
	unsigned int before = kernel.writes, count;
	struct error err = ERROR_INIT;

	assert_int_equal(hostdev_bind(root, address, how, &count, &err), code);
	assert_says(&err, address);
	assert_says(&err, text);
	assert_int_equal(count, 0);
	/* Nothing was touched. */
	assert_int_equal(kernel.writes, before);
}

static void test_bind_refused(void **state _unused_)
{
	refused("0000:7f:00.0", &plain, -ENODEV, "no such PCI device");
	refused(BRIDGE, &forced, -EOPNOTSUPP, "is a bridge");
	drop(DEVICES NIC "/iommu_group");
	refused(NIC, &forced, -EXDEV, "intel_iommu=on");
	drop("/sys/bus/pci/drivers/vfio-pci");
	refused(NVME, &forced, -ENOENT, "modprobe vfio-pci");
	assert_driver(NVME, "nvme");
}

static void test_bind_in_use(void **state _unused_)
{
	struct error err = ERROR_INIT;
	unsigned int count;

	folder(DEVICES NIC "/net/eth7");
	put(DEVICES NIC "/net/eth7/flags", "0x1002\n");
	assert_int_equal(hostdev_bind(root, NIC, &plain, &count, &err), 0);
	set_driver(NIC, "i40e");
	/* IFF_UP, netdevice(7) */
	put(DEVICES NIC "/net/eth7/flags", "0x1003\n");
	refused(NIC, &plain, -EBUSY, "ip link set eth7 down");
	folder(DEVICES NVME "/nvme/nvme0/nvme0n1/holders");
	put(DEVICES NVME "/nvme/nvme0/nvme0n1/dev", "259:0\n");
	put("/proc/self/mountinfo", "22 1 8:2 / / rw - ext4 /dev/sda2 rw\n"
				    "23 22 1259:0 / /a rw - ext4 /dev/x rw\n");
	put("/proc/swaps", "Filename Type\n/dev/nvme0n11 partition 1 0 -2\n");
	assert_int_equal(hostdev_bind(root, NVME, &plain, &count, &err), 0);
	set_driver(NVME, "nvme");
	put("/proc/self/mountinfo", "23 22 259:0 / /srv rw - ext4 /dev/nvme0n1 rw\n");
	refused(NVME, &plain, -EBUSY, "nvme0n1 is mounted");
	put("/proc/self/mountinfo", "");
	put("/proc/swaps", "/dev/nvme0n1 partition 1 0 -2\n");
	refused(NVME, &plain, -EBUSY, "nvme0n1 is swap space");
	put("/proc/swaps", "");
	folder(DEVICES NVME "/nvme/nvme0/nvme0n1/holders/dm-0");
	refused(NVME, &plain, -EBUSY, "part of another block device");
	assert_int_equal(hostdev_bind(root, NVME, &forced, &count, &err), 0);
	assert_driver(NVME, "vfio-pci");
}

static void test_bind_group(void **state _unused_)
{
	struct error err = ERROR_INIT;
	unsigned int count;

	device(NIC, SPEC_CLASS_ETHERNET, "i40e", "7");
	refused(NVME, &plain, -EPERM, NIC " (driver i40e)");
	assert_int_equal(hostdev_bind(root, NVME, &with_group, &count, &err), 0);
	assert_int_equal(count, 2);
	assert_driver(NVME, "vfio-pci");
	assert_driver(NIC, "vfio-pci");
	/* One that no driver has is no hindrance, and stays as it is. */
	set_driver(NVME, "nvme");
	set_driver(NIC, NULL);
	assert_int_equal(hostdev_bind(root, NVME, &plain, &count, &err), 0);
	assert_int_equal(count, 1);
	assert_driver(NIC, "");
}

static void test_bind_fails(void **state _unused_)
{
	struct error err = ERROR_INIT;
	unsigned int count;

	fails("/driver_override", EACCES);
	assert_int_equal(hostdev_bind(root, NVME, &plain, &count, &err), -EACCES);
	assert_says(&err, "run as root");
	assert_driver(NVME, "nvme");
	fails("/drivers_probe", EIO);
	assert_int_equal(hostdev_bind(root, NVME, &plain, &count, &err), -EIO);
	assert_says(&err, "drivers_probe");
	fails("", 0);
	set_driver(NVME, "nvme");
	kernel.vfio_sick = true;
	assert_int_equal(hostdev_bind(root, NVME, &plain, &count, &err), -EIO);
	assert_says(&err, "vfio-pci did not take it");
	assert_driver(NVME, "nvme");
	kernel.vfio_sick = false;
	kernel.no_cdev = true;
	assert_int_equal(hostdev_bind(root, NVME, &plain, &count, &err), -EOPNOTSUPP);
	assert_says(&err, "CONFIG_VFIO_DEVICE_CDEV");
}

/* Of a group all or none. */
static void test_bind_group_fails(void **state _unused_)
{
	struct error err = ERROR_INIT;
	unsigned int count;

	device(NIC, SPEC_CLASS_ETHERNET, "i40e", "7");
	fails(NVME "/driver_override", EPERM);
	assert_int_equal(hostdev_bind(root, NVME, &with_group, &count, &err), -EPERM);
	assert_driver(NVME, "nvme");
	assert_driver(NIC, "i40e");
}

static void test_unbind_in_use(void **state _unused_)
{
	struct error err = ERROR_INIT;
	char driver[NAME_MAX + 1];

	set_driver(NVME, "vfio-pci");
	folder("/proc/4711/fd");
	put("/proc/4711/comm", "vmm\n");
	link_to("/proc/4711/fd/9", "/dev/vfio/devices/vfio0");
	assert_int_equal(hostdev_unbind(root, NVME, false, driver, &err), -EBUSY);
	assert_says(&err, "pid 4711");
	assert_says(&err, "vm.remove-device");
	assert_driver(NVME, "vfio-pci");
	assert_int_equal(hostdev_unbind(root, NVME, true, driver, &err), 0);
	assert_driver(NVME, "nvme");
	assert_int_equal(hostdev_unbind(root, "0000:7f:00.0", true, driver, &err), -ENODEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_describe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_policy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_preserve, setup, teardown),
		cmocka_unit_test_setup_teardown(test_group, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bind_to_variant, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bind_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bind_in_use, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bind_group, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bind_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bind_group_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unbind_in_use, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
