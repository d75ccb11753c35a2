/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/preflight/preflight.h"

#include <string.h>
#include <sys/utsname.h>

#include "base/util.h"

static void done(struct preflight *p)
{
	sysfs_done(&p->sysfs);
	kernel_done(&p->next);
	free(p->running_cmdline);
	free(p->cmdline);
}

/* What a boot loader added for itself is not given on (as luo/kexec.h). */
static char *reuse_cmdline(const char *running)
{
	static const char *const boot_loader[] = {"BOOT_IMAGE=", "initrd="};
	size_t size = strlen(running) + 1, used = 0;
	char *copy = strdup(running), *out = calloc(1, size), *rest = copy, *word;

	if (!copy || !out) {
		free(copy);
		free(out);
		return NULL;
	}
	while ((word = strsep(&rest, " \n"))) {
		bool skip = word[0] == '\0';

		for (size_t i = 0; i < ARRAY_SIZE(boot_loader); i++)
			skip |= strncmp(word, boot_loader[i], strlen(boot_loader[i])) == 0;
		if (skip)
			continue;
		used += (size_t)snprintf(out + used, size - used, "%s%s", used > 0 ? " " : "",
					 word);
	}
	free(copy);
	return out;
}

static int prepare(struct preflight *p, struct error *err)
{
	struct utsname uts;

	sysfs_read(p->root, NULL, &p->sysfs);
	snprintf(p->object, sizeof(p->object), "kernel %.140s", p->request->kernel);
	snprintf(p->release, sizeof(p->release), "%s", p->sysfs.release);
	if (!p->release[0] && uname(&uts) == 0)
		snprintf(p->release, sizeof(p->release), "%.64s", uts.release);
	p->running_cmdline = sysfs_load(p->root, "/proc/cmdline", 65536, NULL);
	if (p->request->cmdline)
		p->cmdline = strdup(p->request->cmdline);
	else
		p->cmdline = reuse_cmdline(p->running_cmdline ? p->running_cmdline : "");
	return p->cmdline ? 0 : error_set(err, -ENOMEM, "preflight: out of memory");
}

int preflight_run(const struct preflight_request *request, struct report *report, struct error *err)
{
	struct preflight *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return error_set(err, -ENOMEM, "preflight: out of memory");
	p->request = request;
	p->root = request->root ? request->root : "";
	p->report = report;
	r = prepare(p, err);
	if (r == 0) {
		check_kernel(p);
		preflight_running(p);
		check_abi(p);
		check_cmdline(p);
		check_scratch(p);
		check_device(p);
		check_systemd(p);
		check_vms(p);
	}
	done(p);
	free(p);
	return r;
}
