/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/snapshot.h"

#include <fcntl.h>
#include <string.h>

#include "base/log.h"

bool snapshot_is_missing(const struct vm_record *record)
{
	return record->snapshot[0] && access(record->snapshot, F_OK) < 0;
}

int snapshot_open(const struct vm_record *record, int *ret_fd, struct error *err)
{
	*ret_fd = open(record->snapshot, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_fd < 0)
		return error_sys(err, -errno, "vm %s: cannot open its snapshot %s", record->id,
				 record->snapshot);
	return 0;
}

void snapshot_forget(struct vm_record *record)
{
	if (!record->snapshot[0])
		return;
	if (unlink(record->snapshot) < 0 && errno != ENOENT)
		log_warning("vm %s: cannot remove %s (%s): it is of the past, and nobody must"
			    " restore it",
			    record->id, record->snapshot, strerror(errno));
	record->snapshot[0] = '\0';
}
