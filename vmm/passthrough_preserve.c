/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/passthrough_preserve.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/log.h"
#include "base/util.h"
#include "iommu/iommufd.h"
#include "luo/client.h"
#include "luo/tokens.h"

/* Somebody else may have the device: then it is not asked. */
#define PROBE_TIMEOUT_MS 1000U
#define PROBE_NAME_SIZE	 (LUO_VM_ID_MAX + sizeof("?:"))

static_assert(TOKEN_VFIO_FIRST + VFIO_PCI_SLOT_MAX <= TOKEN_VFIO_LAST, "a slot has no token");

/* The one that kernels hand over has the first. */
static uint64_t token_of(enum passthrough_space space)
{
	return space == PASSTHROUGH_PRESERVED ? TOKEN_IOMMUFD : TOKEN_IOMMUFD + 1;
}

void kept_devices_init(struct kept_devices *kept)
{
	*kept = (struct kept_devices){.count = 0};
	for (unsigned int i = 0; i < PASSTHROUGH_SPACES; i++)
		kept->spaces[i].iommufd = FD_NONE;
}

void kept_devices_done(struct kept_devices *kept)
{
	while (kept->count > 0)
		close_fdp(&kept->devices[--kept->count].fd);
	for (unsigned int i = 0; i < PASSTHROUGH_SPACES; i++) {
		close_fdp(&kept->spaces[i].iommufd);
		kept->spaces[i].ioas = 0;
	}
}

static int copy_fd(int fd, const char *what, int *ret, struct error *err)
{
	*ret = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return *ret < 0 ? error_sys(err, -errno, "%s: cannot duplicate its descriptor", what) : 0;
}

int kept_devices_set_space(struct kept_devices *kept, enum passthrough_space space, int fd,
			   uint32_t ioas, struct error *err)
{
	if (kept->spaces[space].iommufd >= 0)
		return 0;
	kept->spaces[space].ioas = ioas;
	return copy_fd(fd, "iommufd", &kept->spaces[space].iommufd, err);
}

int kept_devices_add(struct kept_devices *kept, unsigned int slot, const char *name, int fd,
		     struct error *err)
{
	int r;

	if (kept->count == VM_PASSED_MAX)
		return error_set(err, -E2BIG, "device %s: more than %d are kept", name,
				 VM_PASSED_MAX);
	r = copy_fd(fd, name, &kept->devices[kept->count].fd, err);
	if (r < 0)
		return r;
	kept->devices[kept->count].slot = slot;
	snprintf(kept->devices[kept->count++].name, VM_DEVICE_NAME_MAX, "%s", name);
	return 0;
}

int kept_devices_find(const struct kept_devices *kept, unsigned int slot)
{
	for (unsigned int i = 0; kept && i < kept->count; i++) {
		if (kept->devices[i].slot == slot)
			return kept->devices[i].fd;
	}
	return FD_NONE;
}

static int no_handler(const char *name, const char *file, struct error *err)
{
	return error_set(
		err, -EOPNOTSUPP,
		"device-preserve: device %s has policy=preserve, and this kernel has no live "
		"update handler for %s: give it policy=reset or policy=detach, or remove it "
		"(vm.remove-device)",
		name, file);
}

/* ---- Asking before. ---- */

static bool lacks_handler(int session)
{
	_cleanup_fd_ int fd = open(IOMMUFD_DEVICE, O_RDWR | O_CLOEXEC);

	return fd >= 0 &&
	       luo_session_preserve_fd(session, fd, TOKEN_IOMMUFD, "iommufd", NULL) == -ENOENT;
}

int kept_devices_probe(const struct vm_config *config, struct error *err)
{
	_cleanup_fd_ int session = FD_NONE;
	const char *name = NULL;
	char text[PROBE_NAME_SIZE];

	for (unsigned int i = 0; i < config->device_count && !name; i++) {
		if (!config->devices[i].away && config->devices[i].policy == VFIO_PCI_PRESERVE)
			name = config->devices[i].id;
	}
	if (!name)
		return 0;
	snprintf(text, sizeof(text), "?:%.60s", config->id);
	if (luo_session_create(text, PROBE_TIMEOUT_MS, &session, NULL) < 0)
		return 0;
	return lacks_handler(session) ? no_handler(name, "iommufd", err) : 0;
}

/* ---- Before the kexec. ---- */

int kept_devices_preserve(const struct kept_devices *kept, struct source *source, struct error *err)
{
	int r = 0;

	for (unsigned int i = 0; i < PASSTHROUGH_SPACES && r == 0; i++) {
		if (kept->spaces[i].iommufd >= 0)
			r = source_preserve(source, kept->spaces[i].iommufd, token_of(i), "iommufd",
					    err);
	}
	if (r == -ENOENT)
		return no_handler(kept->devices[0].name, "iommufd", err);
	for (unsigned int i = 0; i < kept->count && r == 0; i++) {
		char what[VM_DEVICE_NAME_MAX + 16];

		snprintf(what, sizeof(what), "device %s", kept->devices[i].name);
		r = source_preserve(source, kept->devices[i].fd,
				    TOKEN_VFIO_FIRST + kept->devices[i].slot, what, err);
		if (r == -ENOENT)
			return no_handler(kept->devices[i].name, "vfio-pci", err);
	}
	if (r < 0)
		error_prefix(err, "device-preserve: ");
	return r;
}

int kept_devices_check(const struct kept_devices *kept, const struct vm_config *config,
		       struct error *err)
{
	for (unsigned int i = 0; i < kept->count; i++) {
		if (!vm_config_is_kept(config, kept->devices[i].name))
			return error_set(
				err, -ESTALE,
				"device %s: the guest has given it back since it was prepared "
				"to be kept: abort the update and begin it anew",
				kept->devices[i].name);
	}
	return 0;
}

/* ---- After it. ---- */

static int retrieve_one(struct kept_devices *kept, const struct vfio_pci_config *device,
			struct source *source, struct error *err)
{
	char what[VM_DEVICE_NAME_MAX + 16];
	enum passthrough_space space = passthrough_space_of(device);
	int *fd = &kept->devices[kept->count].fd;
	int r = 0;

	snprintf(what, sizeof(what), "device %s", device->id);
	if (kept->spaces[space].iommufd < 0)
		r = source_retrieve(source, token_of(space), "iommufd",
				    &kept->spaces[space].iommufd, err);
	if (r == 0)
		r = source_retrieve(source, TOKEN_VFIO_FIRST + device->slot, what, fd, err);
	if (r < 0)
		return r;
	kept->devices[kept->count].slot = device->slot;
	snprintf(kept->devices[kept->count++].name, VM_DEVICE_NAME_MAX, "%s", device->id);
	return 0;
}

int kept_devices_retrieve(struct kept_devices *kept, const struct vm_config *config,
			  struct source *source, struct error *err)
{
	int r = 0;

	/* A number of another kernel's context. */
	for (unsigned int i = 0; i < PASSTHROUGH_SPACES && source_crosses_kexec(source); i++)
		kept->spaces[i].ioas = 0;
	for (unsigned int i = 0; i < config->device_count && r == 0; i++) {
		/* Others have their state in the VM's, and are opened anew. */
		if (!config->devices[i].away && (config->devices[i].policy == VFIO_PCI_PRESERVE ||
						 !source_crosses_kexec(source)))
			r = retrieve_one(kept, &config->devices[i], source, err);
	}
	if (r < 0)
		kept_devices_done(kept);
	return r;
}
