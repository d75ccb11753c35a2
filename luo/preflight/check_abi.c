/* SPDX-License-Identifier: Apache-2.0 */
/* What this kernel writes against what the next one reads: the versions must be the same. */
#include "base/util.h"
#include "luo/preflight/preflight.h"

struct comparison {
	const char *what; /* "kho-v" */
	const char *code;
	const char *consequence; /* of another version */
	uint32_t writes, reads;
};

static void compare(struct preflight *p, const struct comparison *c)
{
	if (c->writes == 0 || c->reads == 0 || c->writes == c->reads)
		return; /* what is missing is a finding of its own */
	report_way_out(
		report_add(p->report, SEVERITY_ERROR, c->code, p->object,
			   "it reads %s%u and this kernel (%s) writes %s%u: %s", c->what, c->reads,
			   p->release, c->what, c->writes, c->consequence),
		"update by way of a kernel that speaks both, or cold-boot into this one after "
		"shutting the guests down; docs/abi.md lists which release speaks which");
}

static void check_running(struct preflight *p)
{
	if (p->running_source[0] == '\0')
		report_way_out(report_add(p->report, SEVERITY_ERROR, "abi-unknown", "this host",
					  "it cannot be told what this kernel (%s) would write: "
					  "/proc/kcore and /boot/vmlinuz-%s do not show it",
					  p->release, p->release),
			       "run as root, or name the running kernel's image with "
			       "--running-kernel");
	else if (p->running.kho == 0)
		report_way_out(report_add(p->report, SEVERITY_ERROR, "host-no-kho", "this host",
					  "this kernel (%s) has no Kexec Handover: it cannot hand "
					  "anything over",
					  p->release),
			       "boot a kernel with CONFIG_KEXEC_HANDOVER and CONFIG_LIVEUPDATE");
	else if (p->running.luo == 0)
		report_way_out(report_add(p->report, SEVERITY_ERROR, "host-no-liveupdate",
					  "this host", "this kernel (%s) has no live update",
					  p->release),
			       "boot a kernel with CONFIG_LIVEUPDATE");
	else if (kernel_handler_version(&p->running, "memfd-v") == 0)
		report_way_out(report_add(p->report, SEVERITY_ERROR, "host-no-memfd", "this host",
					  "this kernel (%s) cannot preserve guest memory",
					  p->release),
			       "boot a kernel with CONFIG_LIVEUPDATE_MEMFD");
}

void check_abi(struct preflight *p)
{
	const struct kernel_abi *next = &p->next.abi, *running = &p->running;
	uint32_t memfd_writes = kernel_handler_version(running, "memfd-v");
	uint32_t memfd_reads = kernel_handler_version(next, "memfd-v");
	const struct comparison all[] = {
		{"kho-v", "abi-kho",
		 "it would start as after a cold boot, and every guest would be lost", running->kho,
		 next->kho},
		{"luo-v", "abi-luo", "it would panic at boot", running->luo, next->luo},
		{"memfd-v", "abi-memfd",
		 "it would refuse all sessions (EIO), and every guest would be lost", memfd_writes,
		 memfd_reads},
	};
	size_t before = report_count(p->report, SEVERITY_ERROR);

	check_running(p);
	if (!p->next_image)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		compare(p, &all[i]);
	if (report_count(p->report, SEVERITY_ERROR) == before && next->kho && next->luo &&
	    memfd_reads)
		report_add(p->report, SEVERITY_INFO, "abi-match", p->object,
			   "%s reads what this kernel (%s) writes: kho-v%u, luo-v%u, memfd-v%u "
			   "(known from %s)",
			   p->next.release, p->release, next->kho, next->luo, memfd_reads,
			   p->running_source);
}
