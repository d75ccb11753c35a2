/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/inspect/sysfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "base/util.h"
#include "luo/abi/version.h"

#define SETUP_DATA "/sys/kernel/boot_params/setup_data"
#define DEBUGFS	   "/sys/kernel/debug"
#define KHO	   DEBUGFS "/kho"

char *sysfs_load(const char *root, const char *path, size_t max, size_t *ret_size)
{
	_cleanup_fd_ int fd = FD_NONE;
	char full[PATH_MAX], *data;
	size_t used = 0;
	ssize_t n;

	snprintf(full, sizeof(full), "%s%s", root, path);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	data = fd >= 0 ? malloc(max + 1) : NULL;
	if (!data)
		return NULL;
	while (used < max && (n = read(fd, data + used, max - used)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(data);
			return NULL;
		}
		used += (size_t)n;
	}
	data[used] = '\0';
	if (ret_size)
		*ret_size = used;
	return data;
}

/* /sys/kernel/boot_params/setup_data/<n>/{type,data}: Linux Documentation/ABI. */
static void read_setup_data(const char *root, struct inspect_sysfs *s)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s" SETUP_DATA, root);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		_cleanup_free_ char *type = NULL, *data = NULL;
		size_t size = 0,
		       want = sizeof(s->setup) - offsetof(struct kho_setup_data, fdt_addr);

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), SETUP_DATA "/%.32s/type", entry->d_name);
		type = sysfs_load(root, path, 32, NULL);
		if (!type || strtoul(type, NULL, 0) != KHO_SETUP_DATA_TYPE)
			continue;
		snprintf(path, sizeof(path), SETUP_DATA "/%.32s/data", entry->d_name);
		data = sysfs_load(root, path, 64, &size);
		if (data && size == want)
			memcpy((char *)&s->setup + offsetof(struct kho_setup_data, fdt_addr), data,
			       want);
	}
	closedir(dir);
}

static void read_incoming(const char *root, const struct physmem *mem, struct inspect_sysfs *s)
{
	_cleanup_free_ char *fdt = NULL, *metadata = NULL;
	_Alignas(8) char page[KHO_FDT_SIZE];
	struct error err = ERROR_INIT;
	struct kho_metadata_ser ser;
	size_t size = 0;

	fdt = sysfs_load(root, KHO "/in/fdt", KHO_FDT_SIZE, &size);
	s->incoming_source = "debugfs kho/in/fdt";
	if (!fdt && s->setup.fdt_addr && mem &&
	    physmem_read(mem, s->setup.fdt_addr, page, sizeof(page), NULL) == 0) {
		size = sizeof(page);
		s->incoming_source = "the setup_data this kernel was started with";
	} else if (fdt) {
		memcpy(page, fdt, size);
	}
	if (size == 0)
		return;
	if (abi_parse_kho(page, size, &s->incoming, &err) < 0)
		inspect_note(&s->notes, "incoming: %s", error_message(&err));
	metadata = sysfs_load(root, KHO "/in/sub_fdts/" KHO_ENTRY_METADATA, 4096, &size);
	if (!metadata || size < sizeof(ser))
		return;
	memcpy(&ser, metadata, sizeof(ser));
	if (ser.version != KHO_METADATA_VERSION ||
	    abi_take_name(s->incoming_metadata.previous_release, ser.previous_release,
			  sizeof(ser.previous_release), "release", NULL) < 0)
		return;
	s->incoming_metadata.kexec_count = ser.kexec_count;
	s->has_incoming_metadata = true;
}

/* The blob that the kernel fills: live, but without sessions before reboot(KEXEC). */
static void read_out_luo(const char *root, struct inspect_sysfs *s)
{
	struct luo_header_v3_ser ser;
	char compatible[LUO_COMPATIBLE_SIZE];
	size_t size = 0;
	_cleanup_free_ char *blob = sysfs_load(root, KHO "/out/sub_fdts/LUO", 4096, &size);

	if (!blob || size < sizeof(ser))
		return;
	memcpy(&ser, blob, sizeof(ser));
	s->has_out_luo = true;
	if (abi_take_name(compatible, ser.compatible, sizeof(ser.compatible), "", NULL) < 0)
		return;
	s->out_luo_version = abi_version_number(compatible, LUO_COMPATIBLE_PREFIX);
	s->out_luo_number = ser.header.liveupdate_num;
}

/* One hexadecimal number a line in each of two files. */
static void read_scratch(const char *root, struct inspect_sysfs *s)
{
	_cleanup_free_ char *addresses = sysfs_load(root, KHO "/out/scratch_phys", 65536, NULL);
	_cleanup_free_ char *lengths = sysfs_load(root, KHO "/out/scratch_len", 65536, NULL);
	char *a = addresses, *l = lengths;

	while (a && l && *a && *l && s->scratch_count < INSPECT_SCRATCH_MAX) {
		struct kho_scratch_ser *area = &s->scratch[s->scratch_count];
		char *a_end, *l_end;

		area->addr = strtoull(a, &a_end, 16);
		area->size = strtoull(l, &l_end, 16);
		if (a_end == a || l_end == l || area->size == 0)
			break;
		s->scratch_count++;
		a = a_end + strspn(a_end, "\n");
		l = l_end + strspn(l_end, "\n");
	}
}

void sysfs_read(const char *root, const struct physmem *mem, struct inspect_sysfs *ret)
{
	_cleanup_free_ char *release = sysfs_load(root, "/proc/sys/kernel/osrelease", 64, NULL);
	char path[PATH_MAX];

	*ret = (struct inspect_sysfs){0};
	if (release)
		snprintf(ret->release, sizeof(ret->release), "%.*s", (int)strcspn(release, "\n"),
			 release);
	snprintf(path, sizeof(path), "%s" KHO, root);
	ret->kho = access(path, F_OK) == 0;
	if (!ret->kho && errno == EACCES)
		inspect_note(&ret->notes, "debugfs: %s: needs root", KHO);
	else if (!ret->kho)
		inspect_note(&ret->notes,
			     "debugfs: no %s: it is not mounted, or the kernel lacks "
			     "CONFIG_KEXEC_HANDOVER_DEBUGFS, or kho is off",
			     KHO);
	read_setup_data(root, ret);
	read_incoming(root, mem, ret);
	read_out_luo(root, ret);
	read_scratch(root, ret);
	ret->kho = ret->kho || ret->incoming;
}

void sysfs_done(struct inspect_sysfs *sysfs)
{
	abi_kho_free(sysfs->incoming);
	free(sysfs->notes.list);
	*sysfs = (struct inspect_sysfs){0};
}
