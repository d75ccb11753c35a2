/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors in a table: the source when the kernel stays and only the vmm is exchanged. */
#include <fcntl.h>

#include "base/util.h"
#include "vmm/update/source.h"

struct table_source {
	struct source source;
	bool open;
	unsigned int count;
	struct source_entry entries[SOURCE_TABLE_MAX]; /* descriptors owned */
};

static struct table_source *of(struct source *s)
{
	return (struct table_source *)s;
}

static int *find(struct table_source *t, uint64_t token)
{
	for (unsigned int i = 0; i < t->count; i++) {
		if (t->entries[i].token == token)
			return &t->entries[i].fd;
	}
	return NULL;
}

static int copy_fd(int fd, const char *what, int *ret, struct error *err)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return error_sys(err, -errno, "%s: cannot duplicate its descriptor", what);
	*ret = copy;
	return 0;
}

static int table_open(struct source *source, struct error *err _unused_)
{
	of(source)->open = true;
	return 0;
}

static int table_preserve(struct source *source, int fd, uint64_t token, const char *what,
			  struct error *err)
{
	struct table_source *t = of(source);
	int copy = FD_NONE, r;

	if (find(t, token))
		return error_set(err, -EEXIST, "%s: token %#llx is in use", what,
				 (unsigned long long)token);
	if (t->count == SOURCE_TABLE_MAX)
		return error_set(err, -ENOSPC, "%s: more than %d descriptors", what,
				 SOURCE_TABLE_MAX);
	r = copy_fd(fd, what, &copy, err);
	if (r < 0)
		return r;
	t->entries[t->count++] = (struct source_entry){.token = token, .fd = copy};
	return 0;
}

static int table_retrieve(struct source *source, uint64_t token, const char *what, int *ret_fd,
			  struct error *err)
{
	const int *fd = find(of(source), token);

	if (!fd)
		return error_set(err, -ENOENT, "%s: no descriptor was handed over for it", what);
	return copy_fd(*fd, what, ret_fd, err);
}

static int table_finish(struct source *source _unused_, struct error *err _unused_)
{
	return 0;
}

static void table_close(struct source *source)
{
	struct table_source *t = of(source);

	while (t->count > 0)
		close(t->entries[--t->count].fd);
	t->open = false;
}

static bool table_is_open(const struct source *source)
{
	return ((const struct table_source *)source)->open;
}

static void table_free(struct source *source)
{
	table_close(source);
	free(of(source));
}

static const struct source_ops table_ops = {
	.open = table_open,
	.take = table_open,
	.preserve = table_preserve,
	.retrieve = table_retrieve,
	.finish = table_finish,
	.close = table_close,
	.is_open = table_is_open,
	.free = table_free,
};

int source_table_new(const struct source_entry *entries, unsigned int count, struct source **ret,
		     struct error *err)
{
	struct table_source *t = count <= SOURCE_TABLE_MAX ? calloc(1, sizeof(*t)) : NULL;

	if (!t) {
		for (unsigned int i = 0; i < count; i++)
			close(entries[i].fd);
		return error_set(err, count <= SOURCE_TABLE_MAX ? -ENOMEM : -E2BIG,
				 "table of %u descriptors: cannot be made", count);
	}
	t->source.ops = &table_ops;
	for (unsigned int i = 0; i < count; i++)
		t->entries[i] = entries[i];
	t->count = count;
	*ret = &t->source;
	return 0;
}

bool source_is_table(const struct source *s)
{
	return s->ops == &table_ops;
}

unsigned int source_table_entries(const struct source *s, const struct source_entry **ret)
{
	const struct table_source *t = (const struct table_source *)s;

	*ret = t->entries;
	return t->count;
}
