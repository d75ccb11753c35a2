/* SPDX-License-Identifier: Apache-2.0 */
/* luoctl status: luod, the host, and the update. */
#include <stdio.h>

#include "base/util.h"
#include "luo/luoctl/luoctl.h"

int cmd_status(const struct ctl *ctl, int argc, char **argv)
{
	_cleanup_json_ json_t *doc = NULL;
	struct error err = ERROR_INIT;
	const json_t *live_update, *update;

	if (argc > 1)
		return ctl_usage(argv[0], "%s: it takes no argument", argv[1]);
	if (api_call(ctl, "GET", "/healthz", NULL, &doc, &err) < 0)
		return ctl_fail(argv[0], &err);
	if (ctl->json) {
		ctl_print_json(doc);
		return CTL_OK;
	}
	live_update = json_object_get(doc, "live-update");
	update = json_object_get(doc, "update");
	printf("luod         %s\n", doc_string(doc, "version"));
	printf("kernel       %s\n", doc_string(doc, "kernel"));
	printf("live update  %s\n", json_is_true(json_object_get(live_update, "available"))
					    ? "available"
					    : doc_string(live_update, "why"));
	printf("VMs          %lld\n", doc_integer(doc, "vms"));
	if (update)
		printf("update       %s: %s\n", doc_string(update, "id"),
		       doc_string(update, "state"));
	return CTL_OK;
}
