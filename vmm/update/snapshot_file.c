/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/update/snapshot_file.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/le.h"
#include "base/state.h"
#include "base/util.h"
#include "vmm/guest_memory_fd.h"
#include "vmm/update/state_file.h"

#define SNAPSHOT_VERSION 1U
#define PAGE		 4096U
#define PIECE		 (1U << 20)

/* One part on its way from one file into another. */
struct copy {
	int from, to;
	uint64_t from_offset, to_offset, size;
	uint8_t *buf; /* PIECE bytes */
	uint64_t checksum;
	const char *reading, *writing; /* for errors */
};

static int read_piece(const struct copy *c, uint64_t at, size_t size, struct error *err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(c->from, c->buf + done, size - done,
				  (off_t)(c->from_offset + at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, -errno, "%s: cannot read it", c->reading);
		/* The last page of a file may be less than one. */
		if (n == 0) {
			memset(c->buf + done, 0, size - done);
			return 0;
		}
		done += (size_t)n;
	}
	return 0;
}

static int write_piece(const struct copy *c, uint64_t at, const uint8_t *data, size_t size,
		       struct error *err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n =
			pwrite(c->to, data + done, size - done, (off_t)(c->to_offset + at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, -errno, "%s: cannot write it", c->writing);
		done += (size_t)n;
	}
	return 0;
}

static bool is_zero(const uint8_t *page)
{
	static const uint8_t zero[PAGE];

	return memcmp(page, zero, PAGE) == 0;
}

/* Where a page is counts as well as what is in it; a page of zeroes does not count. */
static void add_page(struct copy *c, uint64_t at, const uint8_t *page)
{
	uint8_t where[8];

	le_put64(where, 0, at / PAGE);
	c->checksum = crc32_z(c->checksum, where, sizeof(where));
	c->checksum = crc32_z(c->checksum, page, PAGE);
}

/* at and size: multiples of a page, but for the end of the part. */
static int copy_piece(struct copy *c, uint64_t at, size_t size, struct error *err)
{
	size_t whole = ALIGN_UP(size, (size_t)PAGE), begin = 0;
	int r = read_piece(c, at, size, err);

	if (r < 0)
		return r;
	memset(c->buf + size, 0, whole - size);
	for (size_t i = 0; r == 0 && i < whole; i += PAGE) {
		if (!is_zero(c->buf + i)) {
			add_page(c, at + i, c->buf + i);
			continue;
		}
		if (begin < i)
			r = write_piece(c, at + begin, c->buf + begin, i - begin, err);
		begin = i + PAGE;
	}
	if (r == 0 && begin < size)
		r = write_piece(c, at + begin, c->buf + begin, size - begin, err);
	return r;
}

/* The next data of the part at or after *at, in whole pages; false: there is none. */
static bool next_data(const struct copy *c, uint64_t *at, uint64_t *ret_end)
{
	uint64_t last = c->from_offset + c->size;
	off_t data = lseek(c->from, (off_t)(c->from_offset + *at), SEEK_DATA), hole;

	if (data < 0 && errno == ENXIO)
		return false;
	/* A file system that does not know: all of it counts as data. */
	if (data < 0) {
		*ret_end = c->size;
		return *at < c->size;
	}
	if ((uint64_t)data >= last)
		return false;
	hole = lseek(c->from, data, SEEK_HOLE);
	*at = MAX_OF(*at, ALIGN_DOWN((uint64_t)data - c->from_offset, (uint64_t)PAGE));
	*ret_end = hole < 0 || (uint64_t)hole >= last
			   ? c->size
			   : ALIGN_UP((uint64_t)hole - c->from_offset, (uint64_t)PAGE);
	*ret_end = MIN_OF(*ret_end, c->size);
	return *at < *ret_end;
}

static int copy_part(struct copy *c, struct error *err)
{
	uint64_t at = 0, end;
	int r = 0;

	while (r == 0 && next_data(c, &at, &end)) {
		while (r == 0 && at < end) {
			size_t size = (size_t)MIN_OF(end - at, (uint64_t)PIECE);

			r = copy_piece(c, at, size, err);
			at += size;
		}
	}
	return r;
}

static int place_parts(const struct source_entry *entries, unsigned int count, struct snapshot *s,
		       struct error *err)
{
	uint64_t offset = SNAPSHOT_HEADER_SIZE;

	if (count > SNAPSHOT_PARTS_MAX)
		return error_set(err, -E2BIG, "snapshot: %u files are too many", count);
	for (unsigned int i = 0; i < count; i++) {
		struct stat st;

		if (fstat(entries[i].fd, &st) < 0)
			return error_sys(err, -errno, "snapshot: cannot ask for a size");
		s->parts[i] = (struct snapshot_part){
			.token = entries[i].token, .offset = offset, .size = (uint64_t)st.st_size};
		offset += ALIGN_UP((uint64_t)st.st_size, (uint64_t)PAGE);
	}
	s->count = count;
	return 0;
}

static int write_header(int fd, const struct snapshot *s, struct error *err)
{
	uint64_t tokens[SNAPSHOT_PARTS_MAX], offsets[SNAPSHOT_PARTS_MAX];
	uint64_t sizes[SNAPSHOT_PARTS_MAX], checksums[SNAPSHOT_PARTS_MAX];
	const struct copy c = {.to = fd, .writing = "snapshot"};
	struct state_writer *w;
	const void *blob;
	size_t size;
	int r = state_writer_new(SNAPSHOT_HEADER_SIZE, &w, err);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < s->count; i++) {
		tokens[i] = s->parts[i].token;
		offsets[i] = s->parts[i].offset;
		sizes[i] = s->parts[i].size;
		checksums[i] = s->parts[i].checksum;
	}
	state_begin(w, "snapshot");
	state_put_string(w, "compatible", "holdfast,snapshot");
	state_put_u32(w, "version", SNAPSHOT_VERSION);
	state_put_string(w, "id", s->id);
	state_put_u32(w, "parts", s->count);
	state_put_u64s(w, "tokens", tokens, s->count);
	state_put_u64s(w, "offsets", offsets, s->count);
	state_put_u64s(w, "sizes", sizes, s->count);
	state_put_u64s(w, "checksums", checksums, s->count);
	state_end(w);
	r = state_writer_finish(w, &blob, &size, err);
	if (r == 0)
		r = write_piece(&c, 0, blob, size, err);
	state_writer_free(w);
	return r;
}

static int sync_file(int fd, struct error *err)
{
	return fsync(fd) < 0 ? error_sys(err, -errno, "snapshot: cannot write it out") : 0;
}

static int write_parts(int fd, const struct source_entry *entries, struct snapshot *s,
		       struct error *err)
{
	_cleanup_free_ uint8_t *buf = malloc(PIECE);
	int r = buf ? 0 : error_set(err, -ENOMEM, "snapshot: out of memory");

	for (unsigned int i = 0; r == 0 && i < s->count; i++) {
		struct copy c = {.from = entries[i].fd,
				 .to = fd,
				 .to_offset = s->parts[i].offset,
				 .size = s->parts[i].size,
				 .buf = buf,
				 .reading = "guest memory",
				 .writing = "snapshot"};

		r = copy_part(&c, err);
		s->parts[i].checksum = c.checksum;
	}
	return r;
}

int snapshot_write(int fd, const char *id, const struct source_entry *entries, unsigned int count,
		   struct error *err)
{
	struct snapshot s = {0};
	const struct snapshot_part *last;
	int r = place_parts(entries, count, &s, err);

	if (r < 0)
		return r;
	snprintf(s.id, sizeof(s.id), "%s", id);
	last = &s.parts[count ? count - 1 : 0];
	if (ftruncate(fd, (off_t)(last->offset + ALIGN_UP(last->size, (uint64_t)PAGE))) < 0)
		return error_sys(err, -errno, "snapshot: cannot make the file large enough");
	r = write_parts(fd, entries, &s, err);
	if (r == 0)
		r = sync_file(fd, err);
	if (r == 0)
		r = write_header(fd, &s, err);
	return r < 0 ? r : sync_file(fd, err);
}

static int check_parts(const struct snapshot *s, uint64_t file_size, struct error *err)
{
	for (unsigned int i = 0; i < s->count; i++) {
		const struct snapshot_part *part = &s->parts[i];

		if (part->offset % PAGE != 0 || part->offset < SNAPSHOT_HEADER_SIZE ||
		    part->size > INT64_MAX - part->offset)
			return error_set(err, -EBADMSG, "snapshot: part %u has no valid place", i);
		if (part->offset + part->size > file_size)
			return error_set(err, -EBADMSG,
					 "snapshot: the file is cut off: it ends at byte %llu, and"
					 " part %u goes to %llu",
					 (unsigned long long)file_size, i,
					 (unsigned long long)(part->offset + part->size));
	}
	return 0;
}

static int parse_header(const void *bytes, struct snapshot *ret, struct error *err)
{
	uint64_t tokens[SNAPSHOT_PARTS_MAX], offsets[SNAPSHOT_PARTS_MAX];
	uint64_t sizes[SNAPSHOT_PARTS_MAX], checksums[SNAPSHOT_PARTS_MAX];
	struct state_reader root, node;
	struct state_blob blob;
	uint32_t version;
	int r = state_blob_open(bytes, SNAPSHOT_HEADER_SIZE, &blob, err);

	if (r < 0)
		return error_prefix(err, "snapshot: "), r;
	state_reader_root(&root, &blob);
	if (state_reader_child(&root, "snapshot", &node) < 0)
		return error_set(err, -EBADMSG, "snapshot: the file is a state, but no snapshot");
	state_get_string(&node, "compatible", STATE_NODE_NAME_MAX);
	version = state_get_u32(&node, "version");
	if (!node.code && version != SNAPSHOT_VERSION)
		return error_set(err, -EPROTONOSUPPORT,
				 "snapshot: version %u, this program reads %u: restore it with the"
				 " version of holdfast that wrote it, or a newer one",
				 version, SNAPSHOT_VERSION);
	snprintf(ret->id, sizeof(ret->id), "%s", state_get_string(&node, "id", sizeof(ret->id)));
	ret->count = state_get_u32_max(&node, "parts", SNAPSHOT_PARTS_MAX);
	state_get_u64s(&node, "tokens", tokens, ret->count);
	state_get_u64s(&node, "offsets", offsets, ret->count);
	state_get_u64s(&node, "sizes", sizes, ret->count);
	state_get_u64s(&node, "checksums", checksums, ret->count);
	r = state_reader_done(&node, err);
	for (unsigned int i = 0; r == 0 && i < ret->count; i++)
		ret->parts[i] =
			(struct snapshot_part){tokens[i], offsets[i], sizes[i], checksums[i]};
	return r;
}

int snapshot_read(int fd, struct snapshot *ret, struct error *err)
{
	static const uint8_t nothing[64];
	_cleanup_free_ uint8_t *bytes = malloc(SNAPSHOT_HEADER_SIZE);
	const struct copy c = {.from = fd, .buf = bytes, .reading = "snapshot"};
	struct snapshot s = {0};
	struct stat st;
	int r;

	if (!bytes)
		return error_set(err, -ENOMEM, "snapshot: out of memory");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(err, -EBADMSG, "snapshot: it is no regular file");
	r = read_piece(&c, 0, SNAPSHOT_HEADER_SIZE, err);
	if (r < 0)
		return r;
	if (memcmp(bytes, nothing, sizeof(nothing)) == 0)
		return error_set(err, -ENODATA,
				 "snapshot: nothing was finished in the file: it is not one");
	r = parse_header(bytes, &s, err);
	if (r == 0)
		r = check_parts(&s, (uint64_t)st.st_size, err);
	if (r == 0)
		*ret = s;
	return r;
}

static int make_memfd(const struct snapshot_part *part, int *ret, struct error *err)
{
	_cleanup_fd_ int fd = FD_NONE;

	if (part->token >= TOKEN_RAM_FIRST && part->token <= TOKEN_RAM_LAST)
		return ram_fd_create(memfd_create, (unsigned int)(part->token - TOKEN_RAM_FIRST),
				     part->size, ret, err);
	if (part->size > STATE_FILE_MAX)
		return error_set(err, -EBADMSG, "snapshot: its state has %llu bytes, too many",
				 (unsigned long long)part->size);
	fd = memfd_create("holdfast-state", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)part->size) < 0)
		return error_sys(err, -errno, "snapshot: cannot make a memfd for the state");
	*ret = steal_fd(&fd);
	return 0;
}

int snapshot_read_part(int fd, const struct snapshot *snapshot, uint64_t token, int *ret_fd,
		       struct error *err)
{
	_cleanup_free_ uint8_t *buf = malloc(PIECE);
	_cleanup_fd_ int memfd = FD_NONE;
	const struct snapshot_part *part = NULL;
	struct copy c;
	int r;

	for (unsigned int i = 0; i < snapshot->count; i++) {
		if (snapshot->parts[i].token == token)
			part = &snapshot->parts[i];
	}
	if (!part)
		return error_set(err, -ENOENT, "snapshot: it has no part %#llx",
				 (unsigned long long)token);
	if (!buf)
		return error_set(err, -ENOMEM, "snapshot: out of memory");
	r = make_memfd(part, &memfd, err);
	if (r < 0)
		return r;
	c = (struct copy){.from = fd,
			  .to = memfd,
			  .from_offset = part->offset,
			  .size = part->size,
			  .buf = buf,
			  .reading = "snapshot",
			  .writing = "guest memory"};
	r = copy_part(&c, err);
	if (r == 0 && c.checksum != part->checksum)
		r = error_set(err, -EBADMSG,
			      "snapshot: part %#llx is damaged (checksum mismatch): this guest"
			      " cannot go on from it",
			      (unsigned long long)token);
	if (r == 0)
		*ret_fd = steal_fd(&memfd);
	return r;
}
