/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/confine/confine.h"

#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "base/http_library.h"
#include "base/log.h"
#include "base/util.h"
#include "vmm/api/server.h"

#define CAP(name) (1ULL << CAP_##name)

/* What root has to have for files of others, taps that are not its own, and memory that a device of
 * the host pins. */
#define CAPS_OF_ROOT (CAP(DAC_OVERRIDE) | CAP(NET_ADMIN) | CAP(IPC_LOCK))
/* To become a user. */
#define CAPS_TO_BECOME (CAP(SETUID) | CAP(SETGID) | CAP(SETPCAP) | CAP(SYS_RESOURCE))

/* ---- A user of its own. ---- */

/* The groups that the host gave the devices it lets VMs use; root's is none. */
static size_t device_groups(gid_t groups[PRIVILEGES_GROUPS_MAX])
{
	static const char *const paths[] = {"/dev/kvm",	      "/dev/vhost-net", "/dev/vhost-vsock",
					    "/dev/net/tun",   "/dev/iommu",	"/dev/vfio/vfio",
					    "/dev/liveupdate"};
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(paths) && count < PRIVILEGES_GROUPS_MAX; i++) {
		struct stat st;
		bool known = false;

		if (stat(paths[i], &st) < 0 || st.st_gid == 0 || !(st.st_mode & S_IRGRP))
			continue;
		for (size_t j = 0; j < count; j++)
			known |= groups[j] == st.st_gid;
		if (!known)
			groups[count++] = st.st_gid;
	}
	return count;
}

static int become(const char *user, struct error *err)
{
	/* Pages that a device of the host reaches count against the user's limit. */
	const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
	gid_t groups[PRIVILEGES_GROUPS_MAX];
	struct identity who;
	int r = identity_parse(user, &who, err);

	if (r < 0 || geteuid() == who.uid)
		return r;
	if (setrlimit(RLIMIT_MEMLOCK, &all) < 0)
		log_debug("user %s: the limit of locked memory stays: %s", user, strerror(errno));
	r = privileges_become(&who, groups, device_groups(groups), err);
	if (r == 0)
		log_info("user %s (uid %u, gid %u)", user, who.uid, who.gid);
	return r;
}

static int take_user(const struct confine_config *config, bool last, struct error *err)
{
	int r;

	if (!config->user[0])
		return privileges_drop(CAPS_OF_ROOT | (last ? 0 : CAPS_TO_BECOME), err);
	/* The bounding set can only be cut while there is somebody to cut it. */
	r = privileges_drop(CAPS_TO_BECOME, err);
	if (r == 0)
		r = become(config->user, err);
	if (r == 0)
		r = privileges_drop(0, err);
	return r;
}

static bool is_named(const struct vm_config *config, int fd)
{
	for (unsigned int i = 0; i < config->net_count; i++) {
		for (unsigned int j = 0; j < config->nets[i].fd_count; j++) {
			if (config->nets[i].fds[j] == fd)
				return true;
		}
	}
	for (unsigned int i = 0; i < config->device_count; i++) {
		if (config->devices[i].fd == fd)
			return true;
	}
	return false;
}

struct named {
	const struct vm_config *config;
	int log_fd, session_fd;
};

static bool keep_fd(void *opaque, int fd)
{
	const struct named *named = opaque;

	return fd == named->log_fd || fd == named->session_fd || is_named(named->config, fd);
}

int confine_begin(const struct vm_config *config, bool later, int log_fd, int session_fd,
		  struct error *err)
{
	const struct named named = {config, log_fd, session_fd};
	int r = privileges_hide(err);

	privileges_close_fds(keep_fd, (void *)(uintptr_t)&named);
	/* Whoever is a user already stays it, and has no capabilities to give up but ambient ones.
	 */
	if (r == 0)
		r = take_user(&config->confine, !later, err);
	return r;
}

/* ---- Files and system calls. ---- */

/* A guest that comes back early in a boot runs without its images, and asks for them at a reset. */
static void tell_of_missing(const struct vm_config *config, const char *what, const char *path)
{
	if (path[0] && access(path, F_OK) < 0 && errno == ENOENT)
		log_warning("%s %s: is not there, and Landlock lets this vmm open only what was "
			    "there when it began: the guest's next reset will fail; have its file "
			    "system mounted before guests are taken up, or exchange the vmm when "
			    "it is (luoctl upgrade-vmm %s)",
			    what, path, config->id);
}

/* 1: it has to wait for a file. */
static int enter_landlock(const struct vm_config *config, struct error *err)
{
	struct error why = ERROR_INIT;
	struct landlock *l;
	bool missing;
	int abi, r;

	if (config->confine.landlock_off) {
		log_warning("Landlock is off: this vmm can open any file of its user");
		return 0;
	}
	abi = landlock_abi(&why);
	if (abi < 0) {
		log_warning("%s: this vmm can open any file of its user", error_message(&why));
		return 0;
	}
	r = landlock_new(&l, err);
	if (r < 0)
		return r;
	r = confine_allow_paths(l, config, &missing, err);
	if (r == 0 && missing)
		r = 1;
	else if (r == 0)
		r = landlock_enforce(l, err);
	landlock_free(l);
	if (r != 0)
		return r;
	log_info("Landlock is on (ABI %d)", abi);
	tell_of_missing(config, "kernel", config->kernel);
	tell_of_missing(config, "initramfs", config->initramfs);
	return 0;
}

/* A library that is loaded brings code: not possible any more later. */
static int load_libraries(const struct vm_config *config, struct error *err)
{
	struct http_library http;

	/* So that no thread reads the time zone when it first writes to the log. */
	tzset();
	return config->api_socket[0] ? http_library_load(HTTP_LIBRARY_NAME, API_WAY_OUT, &http, err)
				     : 0;
}

static int enter_thread(void *opaque, const char *role, struct error *err)
{
	const struct confine *c = opaque;
	const struct filter *filter = filter_find(vmm_filters, role);

	if (!c->entered)
		return 0;
	if (!filter)
		return error_set(err, -ENOENT, "there is no filter for threads of role %s", role);
	return filter_enter(filter, c->seccomp, err);
}

static int enter_seccomp(struct confine *c, struct error *err)
{
	int r;

	if (c->seccomp == FILTER_OFF) {
		log_warning("seccomp is off: this vmm can make any system call");
		return 0;
	}
	r = filter_report(err);
	if (r == 0)
		r = filter_enter(filter_find(vmm_filters, "main"), c->seccomp, err);
	if (r == 0)
		log_info("seccomp is %s", c->seccomp == FILTER_LOG ? "on, for the log only" : "on");
	return r;
}

int confine_enter(struct confine *c, const struct vm_config *config, bool last, struct error *err)
{
	int r;

	if (c->entered)
		return 0;
	/* It came after the threads had been made without limits. */
	if (last)
		return error_set(err, -EBUSY,
				 "a file of this VM came only while its machine was being made: "
				 "try again");
	r = load_libraries(config, err);
	if (r == 0)
		r = take_user(&config->confine, true, err);
	if (r == 0)
		r = enter_landlock(config, err);
	if (r != 0)
		return r < 0 ? r : 0;
	c->seccomp = config->confine.seccomp;
	c->guard = (struct loop_guard){enter_thread, c};
	r = enter_seccomp(c, err);
	c->entered = r == 0;
	return r;
}

void confine_explain(const struct vm_config *config, int code, struct error *err)
{
	if (code == -EACCES && !config->confine.landlock_off)
		error_append(err, "; Landlock keeps this vmm to the files it was started with: "
				  "start it with --landlock-rules for where those may be that come "
				  "later");
}
