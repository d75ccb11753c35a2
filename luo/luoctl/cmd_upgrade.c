/* SPDX-License-Identifier: Apache-2.0 */
/* luoctl upgrade-vmm: the vmm of one VM, of some or of all exchanged, one after the other. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/agent.h"
#include "luo/luoctl/luoctl.h"

/* Waits until the exchange that began is over. */
static int wait_for_end(const struct ctl *ctl, const char *id, json_t **doc, struct error *err)
{
	char path[256];
	int r;

	while (strcmp(doc_string(json_object_get(*doc, "upgrade"), "state"), "under-way") == 0) {
		snprintf(path, sizeof(path), "/api/v1/vms/%s?wait=%lld", id,
			 doc_integer(*doc, "revision"));
		json_decref(*doc);
		r = api_call(ctl, "GET", path, NULL, doc, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The document of the VM is added to done. */
static int exchange(const struct ctl *ctl, const char *id, json_t *body, json_t *done,
		    struct error *err)
{
	_cleanup_json_ json_t *doc = NULL;
	const json_t *upgrade, *blackout;
	char path[256];
	int r;

	snprintf(path, sizeof(path), "/api/v1/vms/%s/upgrade", id);
	r = api_call(ctl, "POST", path, body, &doc, err);
	if (r == 0)
		r = wait_for_end(ctl, id, &doc, err);
	if (r < 0)
		return r;
	json_array_append(done, doc);
	upgrade = json_object_get(doc, "upgrade");
	if (strcmp(doc_string(upgrade, "state"), "done") != 0)
		return error_set(err, -EREMOTEIO, "%s", doc_string(upgrade, "why"));
	if (ctl->json)
		return 0;
	printf("%s: goes on in %s (pid %lld)", id, doc_string(upgrade, "vmm"),
	       doc_integer(doc, "pid"));
	blackout = json_object_get(doc, "blackout-ms");
	if (blackout)
		printf(", stood still for %.1f ms", json_number_value(blackout));
	printf("\n");
	fflush(stdout);
	return 0;
}

/* All VMs that run and can be taken through an update: "--all" is for a host, not for each VM. */
static int list_all(const struct ctl *ctl, json_t *ids, struct error *err)
{
	_cleanup_json_ json_t *doc = NULL;
	json_t *vm;
	size_t i;
	int r = api_call(ctl, "GET", "/api/v1/vms", NULL, &doc, err);

	if (r < 0)
		return r;
	json_array_foreach(json_object_get(doc, "vms"), i, vm)
	{
		if (json_is_true(json_object_get(vm, "connected")) &&
		    json_is_true(json_object_get(vm, "preserve")))
			json_array_append_new(ids, json_string(doc_string(vm, "id")));
	}
	return 0;
}

static int take_ids(int count, char **argv, bool all, json_t *ids)
{
	if (all == (count > 0))
		return ctl_usage(argv[0], "name the VMs, or --all");
	for (int i = 1; i <= count; i++) {
		if (!agent_id_is_valid(argv[i]))
			return ctl_usage(argv[0], "%s: this is no id of a VM", argv[i]);
		json_array_append_new(ids, json_string(argv[i]));
	}
	return CTL_OK;
}

/* One that fails leaves its guest where it is; the others are not tried: they would fail, too. */
static int exchange_each(const struct ctl *ctl, const char *command, const json_t *ids,
			 json_t *body)
{
	_cleanup_json_ json_t *done = json_array();
	struct error err = ERROR_INIT;
	const json_t *id;
	int r = 0;
	size_t i;

	json_array_foreach(ids, i, id)
	{
		r = exchange(ctl, json_string_value(id), body, done, &err);
		if (r < 0)
			break;
	}
	if (ctl->json)
		ctl_print_json(done);
	return r < 0 ? ctl_fail(command, &err) : CTL_OK;
}

int cmd_upgrade_vmm(const struct ctl *ctl, int argc, char **argv)
{
	const char *binary = NULL, *freeze_timeout = NULL;
	bool all = false;
	const struct ctl_option options[] = {
		{"vmm", &binary, NULL},
		{"freeze-timeout", &freeze_timeout, NULL},
		{"all", NULL, &all},
	};
	_cleanup_json_ json_t *body = json_object();
	_cleanup_json_ json_t *ids = json_array();
	struct error err = ERROR_INIT;
	int count;

	if (ctl_options(argc, argv, options, ARRAY_SIZE(options), &count) < 0 ||
	    take_ids(count, argv, all, ids) != CTL_OK)
		return CTL_USAGE;
	if (ctl_set_file(ctl, body, "vmm", binary, &err) < 0 ||
	    ctl_set_number(body, "freeze-timeout-ms", freeze_timeout, &err) < 0 ||
	    (all && list_all(ctl, ids, &err) < 0))
		return ctl_fail(argv[0], &err);
	return exchange_each(ctl, argv[0], ids, body);
}
