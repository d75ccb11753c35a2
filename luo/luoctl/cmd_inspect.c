/* SPDX-License-Identifier: Apache-2.0 */
/* luoctl inspect: what a kernel hands over, on this host or in a dump. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "luo/inspect/inspect.h"
#include "luo/luoctl/luoctl.h"

int cmd_inspect(const struct ctl *ctl, int argc, char **argv)
{
	struct inspect_options gather = {.scan_limit = UINT64_MAX};
	const char *limit = NULL;
	bool extents = false;
	const struct ctl_option options[] = {
		{"from", &gather.from, NULL},
		{"root", &gather.root, NULL},
		{"scan-limit", &limit, NULL},
		{"extents", NULL, &extents},
	};
	_cleanup_inspect_ struct inspect *inspect = NULL;
	struct error err = ERROR_INIT;

	if (ctl_options_only(argc, argv, options, ARRAY_SIZE(options)) != CTL_OK)
		return CTL_USAGE;
	if (limit && size_parse(limit, &gather.scan_limit) < 0)
		return ctl_usage(argv[0], "--scan-limit %s: not a size (16G)", limit);
	if (inspect_gather(&gather, &inspect, &err) < 0)
		return ctl_fail(argv[0], &err);
	if (ctl->json) {
		_cleanup_json_ json_t *doc = inspect_to_json(inspect);

		if (!doc) {
			error_set(&err, -ENOMEM, "out of memory");
			return ctl_fail(argv[0], &err);
		}
		ctl_print_json(doc);
	} else {
		inspect_print(inspect, extents, stdout);
	}
	return inspect_result(inspect) == 0 ? CTL_OK : CTL_FAILED;
}
