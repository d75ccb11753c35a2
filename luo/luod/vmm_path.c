/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/vmm_path.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/luod/paths.h"

void vmm_default_path(char *path, size_t size)
{
	static const char *const near[] = {"/vmm", "/../bin/vmm", "/../../vmm/vmm"};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[MAX_OF(n, 0)] = '\0';
	slash = strrchr(self, '/');
	for (unsigned int i = 0; slash && i < ARRAY_SIZE(near); i++) {
		char candidate[PATH_MAX + 16], resolved[PATH_MAX];

		snprintf(candidate, sizeof(candidate), "%.*s%s", (int)(slash - self), self,
			 near[i]);
		if (access(candidate, X_OK) == 0 && realpath(candidate, resolved)) {
			snprintf(path, size, "%s", resolved);
			return;
		}
	}
	snprintf(path, size, "%s", HOLDFAST_VMM);
}
