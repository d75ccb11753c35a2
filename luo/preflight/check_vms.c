/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This host's VMs: every descriptor that will be preserved must be of a kind that both kernels'
 * handlers take, and preserving must not run out of memory. Limits: Linux mm/memfd_luo.c.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/meminfo.h"
#include "base/util.h"
#include "luo/preflight/preflight.h"
#include "luo/preflight/process.h"

/* Preserve allocates 8 bytes a page at once, which the kernel refuses from 2 GiB on. */
#define MEMFD_SIZE_MAX (1ULL << 40)
#define MEMFD_PREFIX   "/memfd:holdfast-"

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

struct vm_check {
	struct preflight *p;
	const struct preflight_vm *vm;
	char object[160];
	bool kept;	/* told of: there are several descriptors */
	bool vhost_net; /* told of: there is a descriptor for each pair of queues */
	uint64_t fill;	/* bytes that preserving allocates: holes and lists */
};

static void check_seals(struct vm_check *c, const char *name, int seals, mode_t mode)
{
	if (seals & ~(int)MEMFD_SEALS_KNOWN)
		report_way_out(
			report_add(c->p->report, SEVERITY_ERROR, "vm-memfd-seals", c->object,
				   "%s has seals (0x%x) that live update does not carry over", name,
				   seals),
			"start the VM again with this version of vmm");
	else if ((seals & F_SEAL_EXEC) && (mode & 0111) == 0)
		report_way_out(
			report_add(c->p->report, SEVERITY_ERROR, "vm-memfd-noexec", c->object,
				   "%s was made not executable (vm.memfd_noexec): it would come "
				   "back sealed against writing",
				   name),
			"set vm.memfd_noexec to 0 and start the VM again");
}

static void check_memfd(struct vm_check *c, const char *path, const char *name)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct statfs fs;
	struct stat st;
	uint64_t size, there;
	int seals;

	if (fd < 0 || fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0) {
		report_way_out(report_add(c->p->report, SEVERITY_WARNING, "vm-unreadable",
					  c->object, "%s: %s", name, strerror(errno)),
			       "run as root");
		return;
	}
	if (fs.f_type == HUGETLBFS_MAGIC)
		report_way_out(
			report_add(c->p->report, SEVERITY_ERROR, "vm-memfd-hugetlb", c->object,
				   "%s is of huge pages (hugetlb), which no handler preserves",
				   name),
			"start the VM without hugetlb; transparent huge pages are fine");
	size = (uint64_t)st.st_size;
	if (size >= MEMFD_SIZE_MAX)
		report_way_out(report_add(c->p->report, SEVERITY_ERROR, "vm-memfd-too-large",
					  c->object,
					  "%s has %llu GiB, and one memfd below 1024 GiB can be "
					  "preserved",
					  name, size / GIB),
			       "split guest memory into smaller regions");
	seals = fcntl(fd, F_GET_SEALS);
	if (seals >= 0)
		check_seals(c, name, seals, st.st_mode);
	there = (uint64_t)st.st_blocks * 512;
	if (size > there)
		c->fill += size - there;
	/* A list entry of 16 bytes, and 8 while it is made, for each page. */
	c->fill += size / ABI_PAGE_SIZE * (sizeof(struct memfd_folio_ser) + 8);
}

/* Devices that stay with the guest: what this kernel writes about them must be read by the next. */
static void check_kept(struct vm_check *c)
{
	static const char *const names[] = {"iommufd-v", "vfio-pci-v", "iommu-liveupdate-v",
					    HANDLERS_WITH_SWITCH};
	const struct kernel_abi *running = &c->p->running, *next = &c->p->next.abi;

	for (size_t i = 0; i < ARRAY_SIZE(names) && !c->kept; i++) {
		uint32_t here = kernel_handler_version(running, names[i]);
		uint32_t there = kernel_handler_version(next, names[i]);

		/* The last two are of different kernels: each may be in neither. */
		if (here == there && (here || i >= 2))
			continue;
		c->kept = true;
		report_way_out(report_add(c->p->report, SEVERITY_ERROR, "vm-device-preserve",
					  c->object,
					  "it has a device with policy=preserve, and %s kernel has "
					  "no \"%s%s\": the guest would be lost, or its device "
					  "write to memory of others",
					  here ? "the next" : "this", names[i],
					  here && there ? " of the same version" : "<n>"),
			       "take kernels with the same handlers (iommu/kernel), or give the "
			       "device policy=reset or policy=detach");
	}
}

/* vfio and iommufd descriptors: both kernels need the handler. */
static void check_handler(struct vm_check *c, const char *what, const char *prefix)
{
	uint32_t here = kernel_handler_version(&c->p->running, prefix);
	uint32_t there = kernel_handler_version(&c->p->next.abi, prefix);

	if (c->vm->keeps_devices) {
		check_kept(c);
		return;
	}
	if (here != 0 && here == there)
		return;
	report_way_out(
		report_add(c->p->report, SEVERITY_WARNING, "vm-fd-handler", c->object,
			   "it has %s open, and %s kernel has no handler \"%s<n>\" built in "
			   "for it%s",
			   what, here == 0 ? "this" : "the next", prefix,
			   here && there ? " of the same version" : ""),
		"nothing, if the device's policy is reset or detach: the guest gives it up before; "
		"with policy preserve vmm refuses the update, and it takes kernels with that "
		"handler (a module must be loaded before luod starts)");
}

/* Not preserved but opened anew, in a kernel that must have it. */
static void check_vhost_vsock(struct vm_check *c)
{
	if (kernel_config_tristate(c->p->next.config, "CONFIG_VHOST_VSOCK") != 'n')
		return;
	report_way_out(report_add(c->p->report, SEVERITY_ERROR, "vm-vhost-vsock", c->object,
				  "it has a vsock device, and the next kernel is built without "
				  "CONFIG_VHOST_VSOCK: it could not go on there"),
		       "use a kernel with CONFIG_VHOST_VSOCK, or unplug the device before the "
		       "update");
}

/* The card goes on without. */
static void check_vhost_net(struct vm_check *c)
{
	if (c->vhost_net || kernel_config_tristate(c->p->next.config, "CONFIG_VHOST_NET") != 'n')
		return;
	c->vhost_net = true;
	report_add(c->p->report, SEVERITY_INFO, "vm-vhost-net", c->object,
		   "it has a network card on vhost-net, and the next kernel is built without "
		   "CONFIG_VHOST_NET: the VMM moves the frames there");
}

static void check_descriptor(struct vm_check *c, const char *path, const char *link)
{
	if (strncmp(link, MEMFD_PREFIX, strlen(MEMFD_PREFIX)) == 0) {
		char name[64];

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(link + 7, " "), link + 7);
		check_memfd(c, path, name);
	} else if (strncmp(link, "/dev/vfio/devices/", 18) == 0) {
		check_handler(c, link, "vfio-pci-v");
	} else if (strcmp(link, "/dev/iommu") == 0 || strcmp(link, "anon_inode:[iommufd]") == 0) {
		check_handler(c, "an iommufd", "iommufd-v");
	} else if (strcmp(link, "/dev/vhost-vsock") == 0) {
		check_vhost_vsock(c);
	} else if (strcmp(link, "/dev/vhost-net") == 0) {
		check_vhost_net(c);
	}
}

static void check_descriptors(struct vm_check *c)
{
	char dir_path[PATH_MAX], path[PATH_MAX + 256], link[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	snprintf(dir_path, sizeof(dir_path), "%s/proc/%d/fd", c->p->root, c->vm->pid);
	dir = opendir(dir_path);
	if (!dir) {
		report_way_out(report_add(c->p->report, SEVERITY_WARNING, "vm-unreadable",
					  c->object, "the descriptors of pid %d cannot be seen: %s",
					  c->vm->pid, strerror(errno)),
			       "run as root");
		return;
	}
	while ((entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);

		if (n < 0)
			continue;
		link[n] = '\0';
		snprintf(path, sizeof(path), "%s/%s", dir_path, entry->d_name);
		check_descriptor(c, path, link);
	}
	closedir(dir);
}

/* The number in "vmm (holdfast) 0.1.0": the first word that begins with a digit; NULL: none. */
static const char *version_in(const char *line)
{
	for (const char *word = line; word; word = strchr(word, ' ')) {
		word += *word == ' ';
		if (isdigit((unsigned char)*word))
			return word;
	}
	return NULL;
}

/* The binary that takes the VM up must read what the running one writes: not be older. */
static void check_binary(struct vm_check *c)
{
	const struct preflight_vm *vm = c->vm;
	const char *version;
	char line[128];

	if (!vm->binary || !vm->binary[0])
		return;
	if (access(vm->binary, X_OK) < 0 || process_version(vm->binary, line, sizeof(line)) < 0 ||
	    !(version = version_in(line))) {
		report_way_out(report_add(c->p->report, SEVERITY_ERROR, "vmm-missing", c->object,
					  "%s, which is to take it up, cannot be run, or does not "
					  "tell its version",
					  vm->binary),
			       "install vmm there, on this host and in the next kernel's initrd");
		return;
	}
	if (vm->version && vm->version[0] && version_compare(version, vm->version) < 0)
		report_way_out(
			report_add(c->p->report, SEVERITY_ERROR, "vmm-older", c->object,
				   "%s is version %s and the VM runs %s: an older vmm does not "
				   "read a newer state",
				   vm->binary, version, vm->version),
			"install vmm %s or later", vm->version);
}

static void check_phase(struct vm_check *c)
{
	if (!c->vm->preserve)
		report_way_out(
			report_add(c->p->report, SEVERITY_ERROR, "vm-not-preserved", c->object,
				   "it was started without --preserve-on-update: it would end "
				   "with this kernel"),
			"shut it down before the update, or start it with "
			"--preserve-on-update");
	if (!c->vm->phase || strcmp(c->vm->phase, "running") == 0)
		return;
	report_way_out(report_add(c->p->report, SEVERITY_ERROR, "vm-phase", c->object,
				  "it is %s, and only a running VM can be prepared", c->vm->phase),
		       "wait for it, resume it, or forget it (luoctl list)");
}

/*
 * The scratch areas count as available (they are CMA), but what is preserved must lie outside them:
 * the kernel moves it out (Linux mm/memfd_luo.c, memfd_pin_folios()).
 */
static bool available_memory(const struct preflight *p, uint64_t *ret)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s" MEMINFO_PATH, p->root);
	return meminfo_pinnable(path, ret) == 0;
}

static void check_memory(struct preflight *p, uint64_t fill)
{
	char need[32], have[32];
	uint64_t available;

	if (fill == 0 || !available_memory(p, &available))
		return;
	inspect_size(fill, need);
	inspect_size(available, have);
	if (fill > available)
		report_way_out(
			report_add(p->report, SEVERITY_ERROR, "memory-headroom", "this host",
				   "preserving fills the holes in guest memory: that takes %s, "
				   "and %s are available",
				   need, have),
			"free memory, or move a VM away");
	else if (fill > available / 5 * 4)
		report_way_out(
			report_add(p->report, SEVERITY_WARNING, "memory-headroom", "this host",
				   "preserving fills the holes in guest memory: that takes %s "
				   "of the %s that are available",
				   need, have),
			"free some memory");
}

void check_vms(struct preflight *p)
{
	uint64_t fill = 0;

	for (size_t i = 0; i < p->request->vm_count; i++) {
		struct vm_check c = {.p = p, .vm = &p->request->vms[i]};

		snprintf(c.object, sizeof(c.object), "vm %.140s", c.vm->id);
		check_phase(&c);
		if (c.vm->preserve && c.vm->pid > 0)
			check_descriptors(&c);
		if (c.vm->preserve)
			check_binary(&c);
		fill += c.fill;
	}
	check_memory(p, fill);
}
