/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What luod and all that it starts never do: looking into other processes, changing kernel, mounts,
 * clock or namespaces. It runs programs (preflight), so what it does do is no short list; the
 * filters of a vmm come on top. Linked into filter_gen only.
 */
#include "base/confine/policy.h"

#include <errno.h>

#define NO(name) CALL_REFUSE(name, EPERM)

static const struct policy_rule never[] = {
	NO(ptrace),
	NO(process_vm_readv),
	NO(process_vm_writev),
	NO(kcmp),
	NO(perf_event_open),
	NO(bpf),
	NO(userfaultfd),
	NO(init_module),
	NO(finit_module),
	NO(delete_module),
	NO(mount),
	NO(umount2),
	NO(move_mount),
	NO(open_tree),
	NO(fsopen),
	NO(fsmount),
	NO(fsconfig),
	NO(fspick),
	NO(mount_setattr),
	NO(pivot_root),
	NO(chroot),
	NO(swapon),
	NO(swapoff),
	NO(settimeofday),
	NO(clock_settime),
	NO(adjtimex),
	NO(clock_adjtime),
	NO(unshare),
	NO(setns),
	NO(acct),
	NO(quotactl),
	NO(ioperm),
	NO(iopl),
	NO(keyctl),
	NO(add_key),
	NO(request_key),
	NO(open_by_handle_at),
	NO(sethostname),
	NO(setdomainname),
	{0},
};

const char policy_array[] = "luod_filters";
const struct policy policies[] = {{"luod", POLICY_ALLOW, {never}}, {0}};
