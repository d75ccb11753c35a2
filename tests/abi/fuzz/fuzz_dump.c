/* SPDX-License-Identifier: Apache-2.0 */
/* A dump file, as inspect gets it: ELF core or raw. */
#include <stdio.h>
#include <sys/mman.h>

#include "luo/inspect/inspect.h"
#include "tests/abi/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_inspect_ struct inspect *inspect = NULL;
	_cleanup_fd_ int fd = memfd_create("dump", MFD_CLOEXEC);
	struct inspect_options options = {.scan_limit = 4 * MIB};
	struct error err = ERROR_INIT;
	char path[64];
	json_t *json;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	options.from = path;
	if (fd < 0 || (size > 0 && write(fd, data, size) != (ssize_t)size) ||
	    inspect_gather(&options, &inspect, &err) < 0)
		return 0;
	json = inspect_to_json(inspect);
	if (!json)
		abort();
	json_decref(json);
	return 0;
}
