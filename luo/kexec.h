/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The next kernel: kexec_file_load(2) and reboot(2). Only images loaded by kexec_file_load carry
 * what was preserved (Linux Documentation/admin-guide/mm/kho.rst). Needs CAP_SYS_BOOT.
 */
#ifndef HOLDFAST_LUO_KEXEC_H
#define HOLDFAST_LUO_KEXEC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define KEXEC_CMDLINE_MAX 2048 /* COMMAND_LINE_SIZE of x86 Linux, terminator included */

struct kexec_image {
	const char *kernel;  /* path of a bzImage */
	const char *initrd;  /* path, NULL or "" for none */
	const char *cmdline; /* of the next kernel, checked by kexec_check_cmdline() */
};

/*
 * Refuses a command line with which the next kernel would lose everything: without liveupdate=on,
 * with kho off, or without kho=on where the running kernel needed it (running: its own command
 * line, NULL reads /proc/cmdline). -EINVAL.
 */
int kexec_check_cmdline(const char *cmdline, const char *running, struct error *err);

/*
 * The running kernel's command line for the next one: without what a boot loader added for itself
 * (BOOT_IMAGE=, initrd=).
 */
int kexec_reuse_cmdline(char buf[KEXEC_CMDLINE_MAX], struct error *err);

/*
 * Loads the image, replacing one that is there. -EADDRNOTAVAIL: does not fit in the memory that KHO
 * keeps free for it. Reads the whole files: may take a while; any thread.
 */
int kexec_load(const struct kexec_image *image, struct error *err);
/* Drops the loaded image. Harmless without one. */
int kexec_unload(struct error *err);

/*
 * Starts the loaded image at once: no process is told, no file system is synced. Comes back only
 * with an error, and then everything goes on as before. From its start on no other thread may touch
 * a session.
 */
int kexec_reboot(struct error *err);

#endif
