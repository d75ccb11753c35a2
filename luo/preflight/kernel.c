/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/preflight/kernel.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/util.h"
#include "luo/abi/version.h"
#include "luo/preflight/bzimage.h"

#define BZIMAGE_MAX (512 * MIB)
#define CONFIG_MAX  (4 * MIB)
#define VERSION_MAX 9999U

int kernel_read_file(const char *path, size_t max, uint8_t **ret, size_t *ret_size,
		     struct error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	struct stat st;
	uint8_t *data;

	if (fd < 0)
		return error_sys(err, -errno, "%s: cannot open", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(err, -EISDIR, "%s: not a file", path);
	if ((uint64_t)st.st_size > max)
		return error_set(err, -EFBIG, "%s: %lld bytes: too large to be a kernel", path,
				 (long long)st.st_size);
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return error_set(err, -ENOMEM, "%s: no memory for %lld bytes", path,
				 (long long)st.st_size);
	while (used < (size_t)st.st_size) {
		ssize_t n = read(fd, data + used, (size_t)st.st_size - used);

		if (n <= 0) {
			int r = n < 0 ? -errno : -EIO;

			free(data);
			return error_sys(err, r, "%s: cannot read", path);
		}
		used += (size_t)n;
	}
	*ret = data;
	*ret_size = used;
	return 0;
}

/*
 * The names that the ABI uses. Those of handlers that live in modules are not in an image:
 * docs/abi.md says what that means for preflight.
 */
static const char *const handler_prefixes[] = {"memfd-v", "vfio-pci-v", "iommufd-v",
					       "iommu-liveupdate-v", HANDLERS_WITH_SWITCH};

static bool is_name_byte(uint8_t c)
{
	return c == '-' || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

/* "<prefix><number>\0" that is no tail of a longer name. Returns the number, or 0. */
static uint32_t match(const uint8_t *data, size_t size, size_t at, const char *prefix)
{
	size_t len = strlen(prefix), i = at + len;
	uint32_t number = 0;

	if (len + 2 > size - at || memcmp(data + at, prefix, len) != 0 ||
	    (at > 0 && is_name_byte(data[at - 1])))
		return 0;
	for (; i < size && data[i] >= '0' && data[i] <= '9' && number <= VERSION_MAX; i++)
		number = number * 10 + (uint32_t)(data[i] - '0');
	return i < size && data[i] == '\0' && i > at + len ? number : 0;
}

static void add_handler(struct kernel_abi *abi, const char *prefix, uint32_t version)
{
	char name[48];

	snprintf(name, sizeof(name), "%s%u", prefix, version);
	for (size_t i = 0; i < abi->handler_count; i++)
		if (strcmp(abi->handlers[i], name) == 0)
			return;
	if (abi->handler_count < KERNEL_HANDLERS_MAX)
		memcpy(abi->handlers[abi->handler_count++], name, sizeof(name));
}

void kernel_find_abi(const uint8_t *data, size_t size, struct kernel_abi *abi)
{
	/* All names have "-v": finding that first skips nearly everything. */
	for (size_t at = 0; at + 2 < size; at++) {
		const uint8_t *found = memmem(data + at, size - at, "-v", 2);
		uint32_t version;

		if (!found)
			return;
		at = (size_t)(found - data);
		if (at >= 3) {
			version = match(data, size, at - 3, "kho-v");
			abi->kho = MAX_OF(abi->kho, version);
			version = match(data, size, at - 3, "luo-v");
			abi->luo = MAX_OF(abi->luo, version);
		}
		for (size_t i = 0; i < ARRAY_SIZE(handler_prefixes); i++) {
			size_t before = strlen(handler_prefixes[i]) - 2;

			if (at < before)
				continue;
			version = match(data, size, at - before, handler_prefixes[i]);
			if (version)
				add_handler(abi, handler_prefixes[i], version);
		}
	}
}

uint32_t kernel_handler_version(const struct kernel_abi *abi, const char *prefix)
{
	uint32_t newest = 0;

	for (size_t i = 0; i < abi->handler_count; i++)
		newest = MAX_OF(newest, abi_version_number(abi->handlers[i], prefix));
	return newest;
}

/* kernel/configs.c: "IKCFG_ST", a gzip stream, "IKCFG_ED". NULL: none there. */
static char *find_config(const uint8_t *image, size_t size)
{
	const uint8_t *start = memmem(image, size, "IKCFG_ST", 8), *end;
	z_stream z = {0};
	char *text;
	int r;

	if (!start)
		return NULL;
	start += 8;
	end = memmem(start, size - (size_t)(start - image), "IKCFG_ED", 8);
	text = end ? malloc(CONFIG_MAX + 1) : NULL;
	/* 16: with a gzip header (zlib.h, inflateInit2). */
	if (!text || inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) {
		free(text);
		return NULL;
	}
	z.next_in = (uint8_t *)(uintptr_t)start;
	z.avail_in = (uInt)(end - start);
	z.next_out = (uint8_t *)text;
	z.avail_out = CONFIG_MAX;
	r = inflate(&z, Z_FINISH);
	text[z.total_out] = '\0';
	inflateEnd(&z);
	if (r != Z_STREAM_END) {
		free(text);
		return NULL;
	}
	return text;
}

int kernel_load(const char *path, struct kernel *ret, struct error *err)
{
	_cleanup_free_ uint8_t *data = NULL;
	_cleanup_bzimage_ struct bzimage image = {0};
	size_t size;
	int r;

	*ret = (struct kernel){0};
	r = kernel_read_file(path, BZIMAGE_MAX, &data, &size, err);
	if (r == 0)
		r = bzimage_parse(data, size, path, &image, err);
	if (r < 0)
		return r;
	memcpy(ret->release, image.release, sizeof(ret->release));
	ret->kernel_size = image.kernel_size;
	ret->init_size = image.init_size;
	ret->kernel_alignment = image.kernel_alignment;
	ret->pref_address = image.pref_address;
	ret->cmdline_size = image.cmdline_size;
	ret->five_level = image.xlf_5level;
	r = bzimage_decompress(data, path, &image, err);
	ret->compression = image.compression;
	if (r < 0)
		return r;
	kernel_find_abi(image.image, image.image_size, &ret->abi);
	ret->config = find_config(image.image, image.image_size);
	return 0;
}

void kernel_done(struct kernel *kernel)
{
	free(kernel->config);
	kernel->config = NULL;
}

static const char *find_option(const char *config, const char *option)
{
	size_t len = strlen(option);

	for (const char *p = config; p && *p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, option, len) == 0 && p[len] == '=')
			return p + len + 1;
	}
	return NULL;
}

char kernel_config_tristate(const char *config, const char *option)
{
	const char *value = config ? find_option(config, option) : NULL;

	if (!config)
		return '?';
	return value && (*value == 'y' || *value == 'm') ? *value : 'n';
}

bool kernel_config_string(const char *config, const char *option, char *buf, size_t size)
{
	const char *value = config ? find_option(config, option) : NULL;
	size_t used = 0;

	if (!value || *value != '"')
		return false;
	for (value++; *value && *value != '"' && *value != '\n' && used + 1 < size; value++) {
		if (*value == '\\' && value[1])
			value++;
		buf[used++] = *value;
	}
	buf[used] = '\0';
	return true;
}
