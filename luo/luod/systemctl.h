/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOLDFAST_LUOD_SYSTEMCTL_H
#define HOLDFAST_LUOD_SYSTEMCTL_H

#include "base/error.h"

/*
 * Has systemd stop the host and kexec into the kernel that is loaded (kexec.target of
 * systemd.special(7)). Returns when it has begun. -ENODEV: there is no systemd, or it refuses.
 * Blocks; any thread.
 */
int systemctl_kexec(struct error *err);

#endif
