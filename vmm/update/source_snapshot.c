/* SPDX-License-Identifier: Apache-2.0 */
/* A file on a disk as the source: for a guest that no kernel can hand over, or that is to rest. */
#include <string.h>
#include <sys/file.h>

#include "base/new_file.h"
#include "base/util.h"
#include "vmm/update/snapshot_file.h"
#include "vmm/update/state_file.h"

struct snapshot_source {
	struct source source;
	int fd; /* owned; FD_NONE: to be passed anew */
	char id[LUO_VM_ID_MAX + 1];
	bool is_open;
	uint64_t need;		  /* bytes, of one that is to be written */
	struct source *files;	  /* owned: what goes into it */
	struct snapshot snapshot; /* of one that is read */
};

static struct snapshot_source *of(struct source *s)
{
	return (struct snapshot_source *)s;
}

static int snapshot_open(struct source *source, struct error *err)
{
	struct snapshot_source *s = of(source);
	int r = new_file_check_room(s->fd, s->need, err);

	if (r < 0)
		return error_prefix(err, "snapshot of VM %s: ", s->id), r;
	r = source_table_new(NULL, 0, &s->files, err);
	s->is_open = r == 0;
	return r;
}

/* The lock goes with the descriptor: two vmms that run one guest would be the end of its disks. */
static int snapshot_take(struct source *source, struct error *err)
{
	struct snapshot_source *s = of(source);
	int r;

	if (s->is_open)
		return 0;
	if (s->fd < 0)
		return error_set(err, -EBADF, "snapshot of VM %s: it has to be passed anew", s->id);
	if (flock(s->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return error_set(err, -EBUSY, "snapshot of VM %s: another vmm takes it up", s->id);
	r = snapshot_read(s->fd, &s->snapshot, err);
	if (r == 0 && strcmp(s->snapshot.id, s->id) != 0)
		r = error_set(err, -EINVAL, "snapshot: it is of VM %s, not of %s", s->snapshot.id,
			      s->id);
	s->is_open = r == 0;
	return r;
}

static int snapshot_preserve(struct source *source, int fd, uint64_t token, const char *what,
			     struct error *err)
{
	return source_preserve(of(source)->files, fd, token, what, err);
}

static int snapshot_retrieve(struct source *source, uint64_t token, const char *what, int *ret_fd,
			     struct error *err)
{
	struct snapshot_source *s = of(source);
	int r = snapshot_read_part(s->fd, &s->snapshot, token, ret_fd, err);

	return r < 0 ? error_prefix(err, "%s: ", what), r : 0;
}

static int snapshot_store(struct source *source, struct error *err)
{
	struct snapshot_source *s = of(source);
	const struct source_entry *entries;
	unsigned int count = source_table_entries(s->files, &entries);
	int r = snapshot_write(s->fd, s->id, entries, count, err);

	return r < 0 ? error_prefix(err, "VM %s: ", s->id), r : 0;
}

/* The file is its owner's, who knows what is to become of it. */
static int snapshot_finish(struct source *source _unused_, struct error *err _unused_)
{
	return 0;
}

static void snapshot_close(struct source *source)
{
	struct snapshot_source *s = of(source);

	source_free(STEAL_PTR(s->files));
	close_fdp(&s->fd);
	s->is_open = false;
}

static bool snapshot_is_open(const struct source *source)
{
	return ((const struct snapshot_source *)source)->is_open;
}

static void snapshot_free(struct source *source)
{
	snapshot_close(source);
	free(of(source));
}

static const struct source_ops snapshot_ops = {
	.open = snapshot_open,
	.take = snapshot_take,
	.preserve = snapshot_preserve,
	.retrieve = snapshot_retrieve,
	.store = snapshot_store,
	.finish = snapshot_finish,
	.close = snapshot_close,
	.is_open = snapshot_is_open,
	.without_devices = true,
	.free = snapshot_free,
};

int source_snapshot_new(const char *id, int snapshot_fd, uint64_t need, struct source **ret,
			struct error *err)
{
	_cleanup_fd_ int fd = snapshot_fd;
	struct snapshot_source *s = calloc(1, sizeof(*s));

	if (!s)
		return error_set(err, -ENOMEM, "snapshot of VM %s: out of memory", id);
	s->source.ops = &snapshot_ops;
	s->fd = steal_fd(&fd);
	s->need = need;
	strncpy(s->id, id, sizeof(s->id) - 1);
	*ret = &s->source;
	return 0;
}

bool source_is_snapshot(const struct source *s)
{
	return s->ops == &snapshot_ops;
}
