/* SPDX-License-Identifier: Apache-2.0 */
/* luoctl stop */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "luo/agent.h"
#include "luo/luoctl/luoctl.h"

static int ask(const struct ctl *ctl, const char *id, const char *verb, struct error *err)
{
	_cleanup_json_ json_t *doc = NULL;
	char path[256];

	snprintf(path, sizeof(path), "/api/v1/vms/%s/%s", id, verb);
	return api_call(ctl, "PUT", path, NULL, &doc, err);
}

static bool runs(const json_t *vm)
{
	return json_is_true(json_object_get(vm, "connected"));
}

/* Whether one of the VMs (id NULL: any) runs, when something has changed since *revision. */
static int look(const struct ctl *ctl, const char *id, long long *revision, bool *ret,
		struct error *err)
{
	_cleanup_json_ json_t *doc = NULL;
	char path[64];
	json_t *vm;
	size_t i;
	int r;

	snprintf(path, sizeof(path), *revision ? "/api/v1/vms?wait=%lld" : "/api/v1/vms",
		 *revision);
	r = api_call(ctl, "GET", path, NULL, &doc, err);
	if (r < 0)
		return r;
	*revision = doc_integer(doc, "revision");
	*ret = false;
	json_array_foreach(json_object_get(doc, "vms"), i, vm)
	{
		if (!id || strcmp(doc_string(vm, "id"), id) == 0)
			*ret |= runs(vm);
	}
	return 0;
}

/*
 * id NULL: every VM that runs. One that has ended by itself meanwhile is no failure then. Returns
 * how many are to end.
 */
static int tell(const struct ctl *ctl, const char *id, const char *verb, struct error *err)
{
	_cleanup_json_ json_t *doc = NULL;
	json_t *vm;
	int r, told = 0;
	size_t i;

	if (id) {
		r = ask(ctl, id, verb, err);
		return r < 0 ? r : 1;
	}
	r = api_call(ctl, "GET", "/api/v1/vms", NULL, &doc, err);
	if (r < 0)
		return r;
	json_array_foreach(json_object_get(doc, "vms"), i, vm)
	{
		struct error why = ERROR_INIT;

		if (!runs(vm))
			continue;
		if (ask(ctl, doc_string(vm, "id"), verb, &why) < 0)
			fprintf(stderr, "luoctl stop: %s\n", error_message(&why));
		else
			told++;
	}
	return told;
}

/* Seconds of patience with the guests, then of the process that must only end. */
static int wait_for_end(const struct ctl *ctl, const char *id, uint64_t seconds, struct error *err)
{
	uint64_t deadline = clock_monotonic_ns() + seconds * NSEC_PER_SEC;
	long long revision = 0;
	bool forced = false, left = true;
	int r = 0;

	while (r >= 0) {
		r = look(ctl, id, &revision, &left, err);
		if (r < 0 || !left)
			break;
		if (clock_monotonic_ns() < deadline)
			continue;
		if (forced)
			return error_set(err, -ETIMEDOUT,
					 "%s: its vmm does not end; look at its log",
					 id ? id : "a VM");
		forced = true;
		deadline = clock_monotonic_ns() + 30 * NSEC_PER_SEC;
		r = tell(ctl, id, "shutdown", err);
	}
	return r;
}

int cmd_stop(const struct ctl *ctl, int argc, char **argv)
{
	const char *seconds = NULL;
	bool force = false, all = false;
	const struct ctl_option options[] = {
		{"force", NULL, &force}, {"all", NULL, &all}, {"wait", &seconds, NULL}};
	struct error err = ERROR_INIT;
	uint64_t patience = 0;
	int count, told, r;

	if (ctl_options(argc, argv, options, ARRAY_SIZE(options), &count) < 0)
		return CTL_USAGE;
	if (count != !all || (!all && !agent_id_is_valid(argv[1])))
		return ctl_usage(argv[0], "name one VM, or say --all");
	if (seconds && (size_parse(seconds, &patience) < 0 || patience > 86400))
		return ctl_usage(argv[0], "--wait: %s is no number of seconds", seconds);
	told = r = tell(ctl, all ? NULL : argv[1], force ? "shutdown" : "power-button", &err);
	/* In an update all refuse: the guests go on. */
	if (told > 0 && seconds)
		r = wait_for_end(ctl, all ? NULL : argv[1], patience, &err);
	if (r < 0)
		return ctl_fail(argv[0], &err);
	if (!ctl->json)
		printf("%s: %s\n", all ? "all" : argv[1],
		       !told	 ? "none was to be stopped"
		       : seconds ? "ended"
		       : force	 ? "is shut down"
				 : "power button pressed");
	return CTL_OK;
}
