/* SPDX-License-Identifier: Apache-2.0 */
/* describe: any state whose tree is sound is shown, whatever is in it. */
#include <stdio.h>

#include "luo/inspect/describe.h"
#include "tests/abi/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ uint8_t *copy = malloc(MAX_OF(size, 1U));
	struct state_blob blob = {.fdt = copy, .size = size};
	struct error err = ERROR_INIT;
	FILE *out;
	int r;

	if (!copy || size == 0)
		return 0;
	memcpy(copy, data, size);
	r = state_blob_open(copy, size, &blob, &err);
	if (r < 0 && r != -EBADMSG && r != -EPROTONOSUPPORT)
		return 0;
	blob = (struct state_blob){.fdt = copy, .size = size};
	out = fopen("/dev/null", "we");
	if (out) {
		describe_print(&blob, out);
		fclose(out);
	}
	json_decref(describe_to_json(&blob));
	return 0;
}
