/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/meminfo.h"
#include "base/path.h"
#include "base/util.h"
#include "luo/agent.h"
#include "vmm/confine/confine.h"

#define MAY_USE	   (LANDLOCK_MAY_READ | LANDLOCK_MAY_WRITE)
#define MAY_DEVICE (MAY_USE | LANDLOCK_MAY_IOCTL)
#define MAY_FOLDER (LANDLOCK_MAY_BIND | LANDLOCK_MAY_MAKE)

struct rules {
	struct landlock *l;
	struct error *err;
	bool missing;
	int result;
};

static void allow(struct rules *r, const char *path, unsigned int may)
{
	if (r->result == 0 && path[0])
		r->result = landlock_allow(r->l, path, may, r->err);
}

/* One without which there is no machine. */
static void need(struct rules *r, const char *path, unsigned int may)
{
	if (path[0] && access(path, F_OK) < 0)
		r->missing = true;
	allow(r, path, may);
}

static void allow_folder_of(struct rules *r, const char *path, unsigned int may)
{
	char folder[PATH_MAX];

	if (!strchr(path, '/'))
		return;
	path_folder(path, folder);
	allow(r, folder, may);
}

/* A terminal is opened anew through /proc/self/fd; pipes and sockets need no rule. */
static void allow_stdio(struct rules *r)
{
	struct stat st;

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (r->result == 0 && fstat(fd, &st) == 0 && !S_ISSOCK(st.st_mode))
			r->result = landlock_allow_fd(r->l, fd, MAY_DEVICE, r->err);
	}
}

static void allow_console(struct rules *r, const struct console_config *console)
{
	int fd;

	switch (console->mode) {
	case CONSOLE_STDIO:
		allow_stdio(r);
		break;
	case CONSOLE_PTY:
		allow(r, "/dev/ptmx", MAY_DEVICE);
		allow(r, "/dev/pts", MAY_DEVICE);
		break;
	case CONSOLE_FILE:
		/* Made here, so that it and not its folder is what can be written to. */
		fd = open(console->path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC,
			  0600);
		close_fdp(&fd);
		allow(r, console->path, MAY_DEVICE);
		break;
	case CONSOLE_SOCKET:
		allow_folder_of(r, console->path, LANDLOCK_MAY_BIND);
		break;
	case CONSOLE_OFF:
	default:
		break;
	}
}

static void allow_disks(struct rules *r, const struct vm_config *config)
{
	for (unsigned int i = 0; i < config->disk_count; i++) {
		const struct virtio_blk_config *disk = &config->disks[i];

		need(r, disk->path,
		     LANDLOCK_MAY_READ | LANDLOCK_MAY_IOCTL |
			     (disk->readonly ? 0 : LANDLOCK_MAY_WRITE));
	}
}

static void allow_devices(struct rules *r, const struct vm_config *config)
{
	if (config->device_count) {
		need(r, "/dev/iommu", MAY_DEVICE);
		need(r, "/dev/vfio", MAY_DEVICE);
	}
	if (config->net_count) {
		need(r, "/dev/net/tun", MAY_DEVICE);
		allow(r, "/dev/vhost-net", MAY_DEVICE);
	}
	if (config->vsock.on)
		need(r, "/dev/vhost-vsock", MAY_DEVICE);
	if (config->rng.on)
		need(r, config->rng.source, LANDLOCK_MAY_READ);
	/* Block sizes and serial numbers of disks, and what devices of the host are. */
	if (config->disk_count || config->device_count || config->confine.rule_count) {
		allow(r, "/sys/devices", LANDLOCK_MAY_READ);
		allow(r, "/sys/kernel/iommu_groups", LANDLOCK_MAY_READ);
	}
}

static void allow_host(struct rules *r, const struct vm_config *config)
{
	static const char *const told[] = {"/proc/sys/vm", "/proc/cmdline", "/proc/misc",
					   "/proc/config.gz", MEMINFO_PATH};

	allow(r, "/dev/kvm", MAY_DEVICE);
	/* An entropy device that was unplugged can come back. */
	allow(r, VM_RNG_SOURCE_DEFAULT, LANDLOCK_MAY_READ);
	/* Without an agent it opens its session itself, for each update anew. */
	if (config->preserve_on_update && !config->agent[0])
		allow(r, "/dev/liveupdate", MAY_DEVICE);
	for (unsigned int i = 0; i < ARRAY_SIZE(told); i++)
		allow(r, told[i], LANDLOCK_MAY_READ);
	if (config->api_socket[0])
		allow_folder_of(r, config->api_socket, LANDLOCK_MAY_BIND);
	/* Where systemd, whose service this vmm may be, hears how the VM gets on. */
	allow(r, "/run/systemd/notify", LANDLOCK_MAY_CONNECT);
	/* luod's socket is another one when luod is started again; and by its API a VM can be given
	 * to luod later. */
	if (config->agent[0] || config->api_socket[0])
		allow_folder_of(r, config->agent[0] ? config->agent : AGENT_SOCKET,
				LANDLOCK_MAY_CONNECT);
}

int confine_allow_paths(struct landlock *l, const struct vm_config *config, bool *missing,
			struct error *err)
{
	struct rules r = {.l = l, .err = err};

	allow(&r, config->kernel, LANDLOCK_MAY_READ);
	allow(&r, config->initramfs, LANDLOCK_MAY_READ);
	allow_console(&r, &config->console);
	allow_console(&r, &config->hvc);
	allow_disks(&r, config);
	allow_devices(&r, config);
	allow_host(&r, config);
	for (unsigned int i = 0; i < config->confine.rule_count; i++) {
		const struct landlock_rule *rule = &config->confine.rules[i];

		allow(&r, rule->path,
		      rule->write ? MAY_DEVICE | MAY_FOLDER
				  : LANDLOCK_MAY_READ | LANDLOCK_MAY_IOCTL);
	}
	*missing = r.missing;
	return r.result;
}
