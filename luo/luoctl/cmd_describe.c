/* SPDX-License-Identifier: Apache-2.0 */
/* luoctl describe: a VM's state from a file. */
#include <errno.h>
#include <stdio.h>

#include "base/util.h"
#include "luo/inspect/describe.h"
#include "luo/luoctl/luoctl.h"

int cmd_describe(const struct ctl *ctl, int argc, char **argv)
{
	_cleanup_free_ void *data = NULL;
	struct error err = ERROR_INIT;
	struct state_blob blob;
	int count, r;

	if (ctl_options(argc, argv, NULL, 0, &count) < 0)
		return CTL_USAGE;
	if (count != 1)
		return ctl_usage(argv[0], "name one file with a state");
	r = describe_load(argv[1], &data, &blob, &err);
	if (!blob.fdt)
		return ctl_fail(argv[0], &err);
	if (ctl->json) {
		_cleanup_json_ json_t *doc = describe_to_json(&blob);

		ctl_print_json(doc);
	} else {
		describe_print(&blob, stdout);
	}
	/* A damaged state is shown, and said to be damaged. */
	return r < 0 ? ctl_fail(argv[0], &err) : CTL_OK;
}
