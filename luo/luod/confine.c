/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/confine.h"

#include <linux/capability.h>

#include "base/confine/filter.h"
#include "base/confine/privileges.h"

#define CAP(name) (1ULL << CAP_##name)

/* Its own, and those that a vmm needs that it starts: a program that root runs gets no more than
 * this. */
#define CAPS                                                                                \
	(CAP(SYS_BOOT) |				/* kexec, reboot */                 \
	 CAP(SYS_ADMIN) | CAP(SYS_RAWIO) |		/* preflight: /proc/iomem, kcore */ \
	 CAP(SYS_PTRACE) | CAP(KILL) |			/* vmms of other users */           \
	 CAP(CHOWN) | CAP(FOWNER) | CAP(DAC_OVERRIDE) | /* their folders, disks */          \
	 CAP(SYS_RESOURCE) | CAP(NET_BIND_SERVICE) |	/* limits, a port for the API */    \
	 CAP(SETUID) | CAP(SETGID) | CAP(SETPCAP) |	/* a vmm becomes its user */        \
	 CAP(NET_ADMIN) | CAP(IPC_LOCK))		/* taps, pinned memory of a root vmm */

extern const struct filter luod_filters[];

/* LeakSanitizer looks into the threads of its own process by ptrace(2), which is refused. */
#ifdef __SANITIZE_ADDRESS__
#define MODE FILTER_OFF
#else
#define MODE FILTER_ON
#endif

int luod_confine(struct error *err)
{
	int r = privileges_drop(CAPS, err);

	if (r == 0)
		r = filter_enter(&luod_filters[0], MODE, err);
	return r;
}
