/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/physmem/file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"

struct file {
	int fd; /* owned */
	char *what;
	struct physmem_piece *pieces;
	size_t count;
};

int physmem_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	uint8_t *to = buf;

	while (len > 0) {
		ssize_t n;

		if (offset > INT64_MAX)
			return -EOVERFLOW;
		n = pread(fd, to, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		to += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int file_read(void *ctx, uint64_t pa, void *buf, size_t len, struct error *err)
{
	const struct file *f = ctx;

	for (size_t i = 0; i < f->count; i++) {
		const struct physmem_piece *p = &f->pieces[i];
		int r;

		if (pa < p->range.start || pa - p->range.start >= p->range.size)
			continue;
		r = physmem_pread(f->fd, buf, len, p->offset + (pa - p->range.start));
		if (r == -EPERM)
			return error_set(err, r,
					 "%s: the kernel refuses to show the memory at 0x%" PRIx64
					 " (CONFIG_STRICT_DEVMEM or lockdown): use --from kcore, "
					 "or a dump",
					 f->what, pa);
		if (r < 0)
			return error_sys(err, r, "%s: cannot read the memory at 0x%" PRIx64,
					 f->what, pa);
		return 0;
	}
	return error_set(err, -EFAULT, "%s: address 0x%" PRIx64 " is not in the file", f->what, pa);
}

static void file_free(void *ctx)
{
	struct file *f = ctx;

	close_fdp(&f->fd);
	free(f->pieces);
	free(f->what);
	free(f);
}

static const struct physmem_ops file_ops = {.read = file_read, .free = file_free};

int physmem_new_file(int fd, const char *what, const struct physmem_piece *pieces, size_t count,
		     struct physmem **ret, struct error *err)
{
	_cleanup_free_ struct physmem_range *ranges = NULL;
	struct file *f = calloc(1, sizeof(*f));
	int r;

	if (!f) {
		close(fd);
		return error_set(err, -ENOMEM, "%s: out of memory", what);
	}
	f->fd = fd;
	f->what = strdup(what);
	ranges = calloc(MAX_OF(count, 1U), sizeof(*ranges));
	f->pieces = calloc(MAX_OF(count, 1U), sizeof(*f->pieces));
	if (!ranges || !f->what || !f->pieces) {
		file_free(f);
		return error_set(err, -ENOMEM, "%s: out of memory", what);
	}
	f->count = count;
	for (size_t i = 0; i < count; i++) {
		f->pieces[i] = pieces[i];
		ranges[i] = pieces[i].range;
	}
	r = physmem_new(&file_ops, f, what, ranges, count, ret, err);
	if (r < 0)
		file_free(f);
	return r;
}

int physmem_open_raw(const char *path, struct physmem **ret, struct error *err)
{
	struct physmem_piece piece = {0};
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_sys(err, -errno, "dump %s: cannot open", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0) {
		close(fd);
		return error_set(err, -EINVAL,
				 "dump %s: not a dump: an ELF core or a raw image of physical "
				 "memory is needed",
				 path);
	}
	piece.range.size = (uint64_t)st.st_size;
	return physmem_new_file(fd, path, &piece, 1, ret, err);
}
