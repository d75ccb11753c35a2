/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel image: header, payload, and what is looked for in it. */
#include "luo/preflight/bzimage.h"
#include "luo/preflight/kernel.h"
#include "tests/abi/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_bzimage_ struct bzimage image = {0};
	struct error err = ERROR_INIT;
	struct kernel_abi abi = {0};

	if (bzimage_parse(data, size, "x", &image, &err) == 0 &&
	    bzimage_decompress(data, "x", &image, &err) == 0)
		kernel_find_abi(image.image, image.image_size, &abi);
	else if (err.message[0] == '\0')
		abort();
	return 0;
}
