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

int registry_memfd_new(const struct registry *reg, int *ret_fd, struct error *err)
{
	json_t *doc = registry_to_json(reg, false);
	_cleanup_free_ char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	_cleanup_fd_ int fd = FD_NONE;
	size_t size;

	json_decref(doc);
	if (!text)
		return error_set(err, -ENOMEM, "registry: out of memory");
	size = sizeof(struct registry_header) + strlen(text) + GROWTH_OF_UPDATE +
	       GROWTH_PER_VM * reg->vm_count;
	size = ALIGN_UP(size, 4 * KIB);
	/* MFD_EXEC: without it vm.memfd_noexec may add a seal that LUO turns into "no writing". */
	fd = memfd_create("holdfast-registry", MFD_CLOEXEC | MFD_EXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return error_sys(err, -errno, "registry: cannot create its memfd");
	if (ftruncate(fd, (off_t)size) < 0)
		return error_sys(err, -errno, "registry: cannot size its memfd to %zu bytes", size);
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int write_whole(int fd, const void *data, size_t size, struct error *err)
{
	const char *p = data;
	size_t done = 0;

	while (done < size) {
		ssize_t n = pwrite(fd, p + done, size - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_sys(err, n < 0 ? -errno : -EIO, "registry: cannot write it");
		done += (size_t)n;
	}
	return 0;
}

/* The text of the registry that fits into room bytes, or NULL. */
static char *dump_to_fit(const struct registry *reg, size_t room)
{
	json_t *doc = registry_to_json(reg, true);
	char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;

	if (text && strlen(text) > room) {
		free(text);
		json_object_set_new(doc, "history", json_array());
		text = json_dumps(doc, JSON_COMPACT);
	}
	json_decref(doc);
	if (text && strlen(text) > room) {
		free(text);
		return NULL;
	}
	return text;
}

int registry_memfd_write(int fd, const struct registry *reg, struct error *err)
{
	struct registry_header header = {
		.magic = REGISTRY_MAGIC,
		.version = htole32(REGISTRY_VERSION),
		.header = htole32(sizeof(header)),
	};
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *whole = NULL;
	struct stat st;
	size_t length;

	if (fstat(fd, &st) < 0)
		return error_sys(err, -errno, "registry: cannot tell the size of its memfd");
	if ((size_t)st.st_size > sizeof(header))
		text = dump_to_fit(reg, (size_t)st.st_size - sizeof(header));
	if (!text)
		return error_set(err, -ENOSPC,
				 "registry: it does not fit into the %lld bytes that were set aside"
				 " for it at prepare; try the update again",
				 (long long)st.st_size);
	length = strlen(text);
	header.length = htole64(length);
	header.crc = htole32(checksum(&header, text, length));
	whole = malloc(sizeof(header) + length);
	if (!whole)
		return error_set(err, -ENOMEM, "registry: out of memory");
	memcpy(whole, &header, sizeof(header));
	memcpy(whole + sizeof(header), text, length);
	return write_whole(fd, whole, sizeof(header) + length, err);
}

static int read_whole(int fd, char **ret, size_t *ret_size, struct error *err)
{
	_cleanup_free_ char *data = NULL;
	size_t size, done = 0;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_sys(err, -errno, "registry");
	if (st.st_size < (off_t)sizeof(struct registry_header) ||
	    (uint64_t)st.st_size > REGISTRY_MAX)
		return error_set(err, -EBADMSG, "registry: %lld bytes cannot be one",
				 (long long)st.st_size);
	size = (size_t)st.st_size;
	data = malloc(size);
	if (!data)
		return error_set(err, -ENOMEM, "registry: out of memory");
	while (done < size) {
		ssize_t n = pread(fd, data + done, size - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_sys(err, n < 0 ? -errno : -EIO, "registry: cannot read it");
		done += (size_t)n;
	}
	*ret = STEAL_PTR(data);
	*ret_size = size;
	return 0;
}

static int check_header(const struct registry_header *header, const char *text, size_t room,
			struct error *err)
{
	uint64_t length = le64toh(header->length);

	if (memcmp(header->magic, REGISTRY_MAGIC, sizeof(header->magic)) != 0)
		return error_set(err, -EBADMSG, "registry: it is not one (wrong magic)");
	if (le32toh(header->version) != REGISTRY_VERSION)
		return error_set(err, -EPROTONOSUPPORT,
				 "registry: version %u, and this luod reads version %d; start the"
				 " luod that goes with the one of the previous kernel",
				 le32toh(header->version), REGISTRY_VERSION);
	if (le32toh(header->header) != sizeof(*header) || header->reserved || length > room)
		return error_set(err, -EBADMSG, "registry: its header is damaged");
	if (checksum(header, text, (size_t)length) != le32toh(header->crc))
		return error_set(err, -EBADMSG, "registry: its checksum is wrong; it is damaged");
	return 0;
}

int registry_memfd_read(int fd, struct registry *reg, struct error *err)
{
	_cleanup_free_ char *data = NULL;
	struct registry_header header;
	const char *text;
	json_error_t where;
	json_t *doc;
	size_t size = 0;
	int r;

	r = read_whole(fd, &data, &size, err);
	if (r < 0)
		return r;
	memcpy(&header, data, sizeof(header));
	text = data + sizeof(header);
	r = check_header(&header, text, size - sizeof(header), err);
	if (r < 0)
		return r;
	doc = json_loadb(text, (size_t)le64toh(header.length), JSON_REJECT_DUPLICATES, &where);
	if (!doc)
		return error_set(err, -EBADMSG, "registry: not JSON: %s", where.text);
	r = registry_from_json(doc, reg, err);
	json_decref(doc);
	return r;
}
