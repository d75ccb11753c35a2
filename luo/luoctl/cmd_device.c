/* SPDX-License-Identifier: Apache-2.0 */
/* luoctl device list, bind, unbind: devices of this host for VMs. luod is not asked. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/hostdev/hostdev.h"
#include "luo/luoctl/luoctl.h"

/* The strings of an array, or of a key of its objects, joined; the caller frees it. */
static char *joined(const json_t *array, const char *key, bool (*take)(const json_t *))
{
	size_t size = 1, i;
	const json_t *item;
	char *text, *end;

	json_array_foreach(array, i, item)
	{
		size += strlen(key ? doc_string(item, key) : json_string_value(item)) + 1;
	}
	text = end = calloc(1, size);
	json_array_foreach(array, i, item)
	{
		if (!text || (take && !take(item)))
			continue;
		if (end != text)
			*end++ = ',';
		end = stpcpy(end, key ? doc_string(item, key) : json_string_value(item));
	}
	return text;
}

static bool is_possible(const json_t *policy)
{
	return json_is_true(json_object_get(policy, "possible"));
}

static void print_row(struct table *table, const json_t *doc)
{
	_cleanup_free_ char *members =
		joined(json_object_get(doc, "group-members"), "address", NULL);
	_cleanup_free_ char *resets = joined(json_object_get(doc, "reset-methods"), NULL, NULL);
	_cleanup_free_ char *policies =
		joined(json_object_get(doc, "policies"), "policy", is_possible);

	table_cell(table, "%s", doc_string(doc, "address"));
	table_cell(table, "%s:%s", doc_string(doc, "vendor"), doc_string(doc, "device"));
	table_cell(table, "%s", doc_string(doc, "kind"));
	table_cell(table, "%s", doc_string(doc, "driver"));
	table_cell(table, "%s", doc_string(doc, "iommu-group"));
	table_cell(table, "%s", members ? members : "");
	table_cell(table, "%s", resets ? resets : "");
	table_cell(table, "%s", policies ? policies : "");
	table_cell(table, "%s", json_is_true(json_object_get(doc, "ready")) ? "yes" : "no");
}

static void print_all(const json_t *devices)
{
	static const char *const titles[] = {"ADDRESS", "ID",	 "KIND",     "DRIVER", "GROUP",
					     "WITH",	"RESET", "POLICIES", "READY"};
	struct table table;
	const json_t *doc;
	size_t i;

	table_init(&table, titles, ARRAY_SIZE(titles));
	json_array_foreach(devices, i, doc)
	{
		print_row(&table, doc);
	}
	table_print(&table);
	table_done(&table);
}

static void print_line(const char *title, const char *text)
{
	printf("%-16s  %s\n", title, text && text[0] ? text : "-");
}

static void print_members(const json_t *members)
{
	const json_t *member;
	size_t i;

	json_array_foreach(members, i, member)
	{
		printf("%-16s  %s, driver %s\n", i == 0 ? "with" : "",
		       doc_string(member, "address"),
		       doc_string(member, "driver")[0] ? doc_string(member, "driver") : "none");
	}
}

/* One device, with every reason. */
static void print_one(const json_t *doc)
{
	_cleanup_free_ char *resets = joined(json_object_get(doc, "reset-methods"), NULL, NULL);
	const json_t *policy;
	size_t i;

	print_line("address", doc_string(doc, "address"));
	printf("%-16s  %s:%s, class %s (%s)\n", "id", doc_string(doc, "vendor"),
	       doc_string(doc, "device"), doc_string(doc, "class"), doc_string(doc, "kind"));
	print_line("driver", doc_string(doc, "driver"));
	print_line("driver override", doc_string(doc, "driver-override"));
	print_line("IOMMU group", doc_string(doc, "iommu-group"));
	print_members(json_object_get(doc, "group-members"));
	print_line("reset",
		   resets && resets[0] ? resets : "none: it keeps what a guest has made of it");
	print_line("ready", json_is_true(json_object_get(doc, "ready"))
				    ? doc_string(doc, "vfio-device")
				    : doc_string(doc, "why-not"));
	json_array_foreach(json_object_get(doc, "policies"), i, policy)
	{
		printf("policy %-9s  %s\n", doc_string(policy, "policy"),
		       is_possible(policy) ? "possible" : doc_string(policy, "why-not"));
	}
}

static int take_address(const char *text, char address[PCI_ADDRESS_SIZE])
{
	struct error err = ERROR_INIT;

	if (pci_address_parse(text, address, &err) == 0)
		return CTL_OK;
	return ctl_usage("device", "%s", error_message(&err));
}

static int show_one(const struct ctl *ctl, const char *root, const char *text)
{
	_cleanup_json_ json_t *doc = NULL;
	char address[PCI_ADDRESS_SIZE], path[PATH_MAX];
	struct hostdev_kernel kernel;
	struct error err = ERROR_INIT;

	if (take_address(text, address) != CTL_OK)
		return CTL_USAGE;
	pci_sysfs_path(path, root, address, "");
	if (access(path, F_OK) < 0) {
		error_set(&err, -ENODEV, "device %s: this host has no such PCI device", address);
		return ctl_fail("device list", &err);
	}
	hostdev_kernel_read(root, &kernel);
	doc = hostdev_describe(root, address, &kernel);
	if (ctl->json)
		ctl_print_json(doc);
	else
		print_one(doc);
	return CTL_OK;
}

static int list(const struct ctl *ctl, int argc, char **argv)
{
	const char *root = "";
	bool all = false;
	const struct ctl_option options[] = {{"all", NULL, &all}, {"root", &root, NULL}};
	_cleanup_json_ json_t *devices = NULL;
	struct error err = ERROR_INIT;
	int count;

	if (ctl_options(argc, argv, options, ARRAY_SIZE(options), &count) < 0)
		return CTL_USAGE;
	if (count > 1)
		return ctl_usage("device list", "name one device, or none");
	if (count == 1)
		return show_one(ctl, root, argv[1]);
	if (hostdev_list(root, all, &devices, &err) < 0)
		return ctl_fail("device list", &err);
	if (ctl->json) {
		_cleanup_json_ json_t *doc = json_pack("{sO}", "devices", devices);

		ctl_print_json(doc);
	} else {
		print_all(devices);
	}
	return CTL_OK;
}

static int bind(const struct ctl *ctl, int argc, char **argv)
{
	struct hostdev_bind_options how = {0};
	const char *root = "";
	const struct ctl_option options[] = {{"driver", &how.driver, NULL},
					     {"group", NULL, &how.group},
					     {"force", NULL, &how.force},
					     {"root", &root, NULL}};
	char address[PCI_ADDRESS_SIZE];
	struct error err = ERROR_INIT;
	unsigned int bound;
	int count;

	if (ctl_options(argc, argv, options, ARRAY_SIZE(options), &count) < 0)
		return CTL_USAGE;
	if (count == 0)
		return ctl_usage("device bind", "name a device, as luoctl device list shows it");
	for (int i = 1; i <= count; i++) {
		if (take_address(argv[i], address) != CTL_OK)
			return CTL_USAGE;
		if (hostdev_bind(root, address, &how, &bound, &err) < 0)
			return ctl_fail("device bind", &err);
		if (!ctl->json)
			printf("%s: %s\n", address,
			       bound == 0  ? "vfio-pci has it already"
			       : bound > 1 ? "bound to vfio-pci with its group"
					   : "bound to vfio-pci");
	}
	return CTL_OK;
}

static int unbind(const struct ctl *ctl, int argc, char **argv)
{
	const char *root = "";
	bool force = false;
	const struct ctl_option options[] = {{"force", NULL, &force}, {"root", &root, NULL}};
	char address[PCI_ADDRESS_SIZE], driver[NAME_MAX + 1];
	struct error err = ERROR_INIT;
	int count;

	if (ctl_options(argc, argv, options, ARRAY_SIZE(options), &count) < 0)
		return CTL_USAGE;
	if (count == 0)
		return ctl_usage("device unbind", "name a device, as luoctl device list shows it");
	for (int i = 1; i <= count; i++) {
		if (take_address(argv[i], address) != CTL_OK)
			return CTL_USAGE;
		if (hostdev_unbind(root, address, force, driver, &err) < 0)
			return ctl_fail("device unbind", &err);
		if (!ctl->json)
			printf("%s: given back%s%s\n", address, driver[0] ? " to " : "", driver);
	}
	return CTL_OK;
}

int cmd_device(const struct ctl *ctl, int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const struct ctl *ctl, int argc, char **argv);
	} verbs[] = {{"list", list}, {"bind", bind}, {"unbind", unbind}};

	for (unsigned int i = 0; argc > 1 && i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(ctl, argc - 1, argv + 1);
	}
	return ctl_usage(argv[0], "say list, bind or unbind");
}
