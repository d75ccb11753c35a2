/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/registry_memfd.h"

#include <assert.h>
#include <endian.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/util.h"

#define REGISTRY_MAGIC	 "HFREGIST"
#define HISTORY_MAGIC	 "HFHISTOR"
#define REGISTRY_VERSION 1
#define REGISTRY_MAX	 (64 * MIB)

/* What a VM may still add: eight phases of some 90 bytes, a changed phase and a reason. */
#define GROWTH_PER_VM	 (4 * KIB)
#define GROWTH_OF_UPDATE (16 * KIB)

struct registry_header {
	char magic[8];
	uint32_t version;
	uint32_t header;
	uint64_t length;
	uint32_t crc;
	uint32_t reserved;
};

static_assert(sizeof(struct registry_header) == 32, "the header of the registry is 32 bytes");

static uint32_t checksum(const struct registry_header *header, const char *text, size_t length)
{
	struct registry_header blank = *header;
	uLong crc = crc32(0, NULL, 0);

	blank.crc = 0;
	crc = crc32_z(crc, (const void *)&blank, sizeof(blank));
	return (uint32_t)crc32_z(crc, (const void *)text, length);
}

static struct registry_header make_header(const char *magic, const char *text)
{
	struct registry_header header = {
		.version = htole32(REGISTRY_VERSION),
		.header = htole32(sizeof(header)),
		.length = htole64(strlen(text)),
	};

	memcpy(header.magic, magic, sizeof(header.magic));
	header.crc = htole32(checksum(&header, text, strlen(text)));
	return header;
}

static int write_at(int fd, size_t at, const void *data, size_t size, struct error *err)
{
	const char *p = data;
	size_t done = 0;

	while (done < size) {
		ssize_t n = pwrite(fd, p + done, size - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_sys(err, n < 0 ? -errno : -EIO, "registry: cannot write it");
		done += (size_t)n;
	}
	return 0;
}

static int read_at(int fd, size_t at, void *data, size_t size, struct error *err)
{
	char *p = data;
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, p + done, size - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_sys(err, n < 0 ? -errno : -EIO, "registry: cannot read it");
		done += (size_t)n;
	}
	return 0;
}

static int size_of(int fd, size_t *ret, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_sys(err, -errno, "registry: cannot tell the size of its memfd");
	*ret = (size_t)st.st_size;
	return 0;
}

/* size: of the file, a whole number of pages. */
static int write_history(int fd, const char *text, size_t size, struct error *err)
{
	const struct registry_header header = make_header(HISTORY_MAGIC, text);
	size_t at = size - sizeof(header);
	int r = write_at(fd, at - strlen(text), text, strlen(text), err);

	return r < 0 ? r : write_at(fd, at, &header, sizeof(header), err);
}

int registry_memfd_new(const struct registry *reg, int *ret_fd, struct error *err)
{
	_cleanup_free_ char *history = json_dumps(reg->history, JSON_COMPACT);
	json_t *doc = registry_to_json(reg, false);
	_cleanup_free_ char *text = NULL;
	_cleanup_fd_ int fd = FD_NONE;
	size_t size;
	int r;

	json_object_del(doc, "history");
	text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	json_decref(doc);
	if (!text || !history)
		return error_set(err, -ENOMEM, "registry: out of memory");
	size = 2 * sizeof(struct registry_header) + strlen(text) + strlen(history) +
	       GROWTH_OF_UPDATE + GROWTH_PER_VM * reg->vm_count;
	size = ALIGN_UP(size, 4 * KIB);
	/* MFD_EXEC: without it vm.memfd_noexec may add a seal that LUO turns into "no writing". */
	fd = memfd_create("holdfast-registry", MFD_CLOEXEC | MFD_EXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return error_sys(err, -errno, "registry: cannot create its memfd");
	if (ftruncate(fd, (off_t)size) < 0)
		return error_sys(err, -errno, "registry: cannot size its memfd to %zu bytes", size);
	r = write_history(fd, history, size, err);
	if (r < 0)
		return r;
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* What the history takes of the end of the file; 0: there is none. */
static int find_history(int fd, size_t size, struct registry_header *header, size_t *ret,
			struct error *err)
{
	int r;

	*ret = 0;
	if (size < 2 * sizeof(*header))
		return 0;
	r = read_at(fd, size - sizeof(*header), header, sizeof(*header), err);
	if (r < 0 || memcmp(header->magic, HISTORY_MAGIC, sizeof(header->magic)) != 0)
		return r;
	if (le64toh(header->length) > size - 2 * sizeof(*header))
		return error_set(err, -EBADMSG, "registry: its history is damaged");
	*ret = sizeof(*header) + (size_t)le64toh(header->length);
	return 0;
}

int registry_memfd_write(int fd, const struct registry *reg, struct error *err)
{
	json_t *doc = registry_to_json(reg, true);
	_cleanup_free_ char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	struct registry_header header, other;
	size_t size, history = 0;
	int r;

	json_decref(doc);
	if (!text)
		return error_set(err, -ENOMEM, "registry: out of memory");
	r = size_of(fd, &size, err);
	if (r == 0)
		r = find_history(fd, size, &other, &history, err);
	if (r < 0)
		return r;
	if (sizeof(header) + strlen(text) + history > size)
		return error_set(err, -ENOSPC,
				 "registry: it does not fit into the %zu bytes that were set aside"
				 " for it at prepare; try the update again",
				 size);
	header = make_header(REGISTRY_MAGIC, text);
	/* The header comes last: its checksum tells a registry that was written to its end. */
	r = write_at(fd, sizeof(header), text, strlen(text), err);
	if (r < 0)
		return r;
	return write_at(fd, 0, &header, sizeof(header), err);
}

static int check_header(const struct registry_header *header, const char *magic, size_t room,
			struct error *err)
{
	uint64_t length = le64toh(header->length);

	if (memcmp(header->magic, magic, sizeof(header->magic)) != 0)
		return error_set(err, -EBADMSG, "registry: it is not one (wrong magic)");
	if (le32toh(header->version) != REGISTRY_VERSION)
		return error_set(err, -EPROTONOSUPPORT,
				 "registry: version %u, and this luod reads version %d; start the"
				 " luod that goes with the one of the previous kernel",
				 le32toh(header->version), REGISTRY_VERSION);
	if (le32toh(header->header) != sizeof(*header) || header->reserved || length > room)
		return error_set(err, -EBADMSG, "registry: its header is damaged");
	return 0;
}

/* The text that goes with a header, checked; as a document. */
static int read_document(int fd, const struct registry_header *header, size_t at, json_t **ret,
			 struct error *err)
{
	size_t length = (size_t)le64toh(header->length);
	_cleanup_free_ char *text = malloc(length + 1);
	json_error_t where;
	int r;

	if (!text)
		return error_set(err, -ENOMEM, "registry: out of memory");
	r = read_at(fd, at, text, length, err);
	if (r < 0)
		return r;
	if (checksum(header, text, length) != le32toh(header->crc))
		return error_set(err, -EBADMSG, "registry: its checksum is wrong; it is damaged");
	*ret = json_loadb(text, length, JSON_REJECT_DUPLICATES, &where);
	return *ret ? 0 : error_set(err, -EBADMSG, "registry: not JSON: %s", where.text);
}

int registry_memfd_read(int fd, struct registry *reg, struct error *err)
{
	struct registry_header header;
	json_t *doc = NULL;
	size_t size = 0;
	int r = size_of(fd, &size, err);

	if (r < 0)
		return r;
	if (size < sizeof(header) || size > REGISTRY_MAX)
		return error_set(err, -EBADMSG, "registry: %zu bytes cannot be one", size);
	r = read_at(fd, 0, &header, sizeof(header), err);
	if (r == 0)
		r = check_header(&header, REGISTRY_MAGIC, size - sizeof(header), err);
	if (r == 0)
		r = read_document(fd, &header, sizeof(header), &doc, err);
	if (r == 0)
		r = registry_from_json(doc, reg, err);
	json_decref(doc);
	return r;
}

int registry_memfd_read_history(int fd, struct registry *reg, struct error *err)
{
	struct registry_header header;
	size_t size = 0, history = 0;
	json_t *array = NULL;
	int r = size_of(fd, &size, err);

	if (r == 0)
		r = find_history(fd, size, &header, &history, err);
	/* An earlier luod had it in the document. */
	if (r < 0 || history == 0 || json_array_size(reg->history) > 0)
		return r;
	r = check_header(&header, HISTORY_MAGIC, history, err);
	if (r == 0)
		r = read_document(fd, &header, size - history, &array, err);
	if (r == 0)
		r = registry_history_from_json(array, reg, err);
	json_decref(array);
	return r;
}
