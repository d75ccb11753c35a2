/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel command line. */
#include "luo/preflight/cmdline.h"
#include "tests/abi/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = strndup((const char *)data, size);
	char value[8];

	if (!text)
		return 0;
	if (cmdline_value(text, "kho_scratch", value, sizeof(value)) &&
	    strlen(value) >= sizeof(value))
		abort();
	cmdline_switch(text, "kho");
	cmdline_switch(text, "liveupdate");
	return 0;
}
