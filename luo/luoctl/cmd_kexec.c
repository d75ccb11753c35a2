/* SPDX-License-Identifier: Apache-2.0 */
/*
 * luoctl kexec: the way without luod. Every VM that is to live has been frozen by its own vmm
 * (vmm --preserve-on-update and SIGUSR2), which holds its session until the kernel takes over.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "luo/client.h"
#include "luo/kexec.h"
#include "luo/luoctl/luoctl.h"

static int load(const struct kexec_image *image, bool check, struct error *err)
{
	int r = check ? kexec_check_cmdline(image->cmdline, NULL, err) : 0;

	if (r == 0 && check)
		r = luo_probe(LUO_OPEN_TIMEOUT_MS, err);
	if (r == 0)
		r = kexec_load(image, err);
	return r;
}

static int go(bool load_only, struct error *err)
{
	int r;

	if (load_only)
		return 0;
	/* The page cache does not live through it. */
	sync();
	r = kexec_reboot(err);
	kexec_unload(NULL);
	return r;
}

int cmd_kexec(const struct ctl *ctl _unused_, int argc, char **argv)
{
	const char *kernel = NULL, *initrd = NULL, *cmdline = NULL;
	bool reuse = false, load_only = false, unload = false, force = false;
	const struct ctl_option options[] = {
		{"kernel", &kernel, NULL},	 {"initrd", &initrd, NULL},
		{"cmdline", &cmdline, NULL},	 {"reuse-cmdline", NULL, &reuse},
		{"load-only", NULL, &load_only}, {"unload", NULL, &unload},
		{"force", NULL, &force},
	};
	char own[KEXEC_CMDLINE_MAX];
	struct kexec_image image;
	struct error err = ERROR_INIT;
	int r = 0;

	if (ctl_options_only(argc, argv, options, ARRAY_SIZE(options)) != CTL_OK)
		return CTL_USAGE;
	if (unload)
		return kexec_unload(&err) < 0 ? ctl_fail(argv[0], &err) : CTL_OK;
	if (!kernel)
		return ctl_usage(argv[0], "--kernel: name the kernel to go to");
	if (cmdline && reuse)
		return ctl_usage(argv[0], "--cmdline and --reuse-cmdline exclude each other");
	if (!cmdline)
		r = kexec_reuse_cmdline(own, &err);
	image = (struct kexec_image){
		.kernel = kernel, .initrd = initrd, .cmdline = cmdline ? cmdline : own};
	if (r == 0)
		r = load(&image, !force, &err);
	if (r == 0)
		r = go(load_only, &err);
	return r < 0 ? ctl_fail(argv[0], &err) : CTL_OK;
}
