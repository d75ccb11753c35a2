/* SPDX-License-Identifier: Apache-2.0 */
/* The next kernel's command line. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/preflight/cmdline.h"
#include "luo/preflight/preflight.h"

#define OBJECT "next command line"
/* The loader keeps room for elfcorehdr= (Linux arch/x86/kernel/kexec-bzimage64.c). */
#define ELFCOREHDR_LEN	     30U
#define CMDLINE_SIZE_DEFAULT 2047U

/* CONFIG_CMDLINE stands in front of what the loader gives; with _OVERRIDE it is all there is. */
static char *effective_cmdline(const struct preflight *p)
{
	char built_in[2048] = "";
	char *all;

	if (kernel_config_tristate(p->next.config, "CONFIG_CMDLINE_BOOL") != 'y' ||
	    !kernel_config_string(p->next.config, "CONFIG_CMDLINE", built_in, sizeof(built_in)))
		return strdup(p->cmdline);
	if (kernel_config_tristate(p->next.config, "CONFIG_CMDLINE_OVERRIDE") == 'y')
		return strdup(built_in);
	return asprintf(&all, "%s %s", built_in, p->cmdline) < 0 ? NULL : all;
}

static void check_liveupdate(struct preflight *p, const char *cmdline)
{
	static const char way_out[] = "add liveupdate=on";

	switch (cmdline_switch(cmdline, "liveupdate")) {
	case CMDLINE_ON:
		return;
	case CMDLINE_OFF:
		report_way_out(report_add(p->report, SEVERITY_ERROR, "cmdline-liveupdate", OBJECT,
					  "liveupdate is off: every guest would be lost"),
			       way_out);
		return;
	case CMDLINE_BAD:
		report_way_out(report_add(p->report, SEVERITY_ERROR, "cmdline-liveupdate", OBJECT,
					  "liveupdate= has a value that the kernel does not take"),
			       way_out);
		return;
	case CMDLINE_ABSENT:
		report_way_out(
			report_add(p->report, SEVERITY_ERROR, "cmdline-liveupdate", OBJECT,
				   "liveupdate=on is missing, and it is off by default: every "
				   "guest would be lost"),
			way_out);
		return;
	}
}

static void check_kho(struct preflight *p, const char *cmdline)
{
	enum cmdline_switch kho = cmdline_switch(cmdline, "kho");
	char by_default =
		kernel_config_tristate(p->next.config, "CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT");
	struct finding *f;

	if (kho == CMDLINE_ON ||
	    ((kho == CMDLINE_ABSENT || kho == CMDLINE_BAD) && by_default == 'y'))
		return;
	if (kho == CMDLINE_OFF)
		f = report_add(p->report, SEVERITY_ERROR, "cmdline-kho", OBJECT,
			       "kho is off: every guest would be lost");
	else if (by_default == 'n')
		f = report_add(
			p->report, SEVERITY_ERROR, "cmdline-kho", OBJECT,
			"kho=on is missing and that kernel has it off by default: every guest "
			"would be lost");
	else
		f = report_add(p->report, SEVERITY_ERROR, "cmdline-kho", OBJECT,
			       "kho=on is missing, and whether that kernel has it on by default "
			       "cannot be told");
	report_way_out(f, "add kho=on");
}

static void check_length(struct preflight *p)
{
	uint32_t max = p->next.cmdline_size ? p->next.cmdline_size : CMDLINE_SIZE_DEFAULT;
	size_t len = strlen(p->cmdline) + 1;

	if (len + ELFCOREHDR_LEN > max)
		report_way_out(report_add(p->report, SEVERITY_ERROR, "cmdline-too-long", OBJECT,
					  "%zu bytes, and that kernel takes %u", len - 1,
					  max - ELFCOREHDR_LEN - 1),
			       "shorten it");
}

/* Memory that the next kernel does not know cannot be taken over; what it is told today is fine. */
static void check_memory_limit(struct preflight *p, const char *cmdline, const char *name)
{
	char value[128], now[128] = "";

	if (!cmdline_value(cmdline, name, value, sizeof(value)))
		return;
	if (p->running_cmdline)
		cmdline_value(p->running_cmdline, name, now, sizeof(now));
	if (strcmp(value, now) == 0)
		return;
	report_way_out(report_add(p->report, SEVERITY_ERROR, "cmdline-memory", OBJECT,
				  "%s=%s changes what memory there is: guests' pages outside it "
				  "would be lost",
				  name, value),
		       "take it out, or keep what the running kernel has");
}

static void check_others(struct preflight *p, const char *cmdline)
{
	char value[128], now[128] = "";

	check_memory_limit(p, cmdline, "mem");
	check_memory_limit(p, cmdline, "memmap");
	if (cmdline_value(cmdline, "elfcorehdr", value, sizeof(value)))
		report_way_out(
			report_add(p->report, SEVERITY_ERROR, "cmdline-kdump", OBJECT,
				   "elfcorehdr= makes it a crash kernel, which turns KHO off"),
			"take it out");
	if (!cmdline_value(cmdline, "kho_scratch", value, sizeof(value)))
		return;
	if (p->running_cmdline)
		cmdline_value(p->running_cmdline, "kho_scratch", now, sizeof(now));
	if (strcmp(value, now) != 0)
		report_way_out(report_add(p->report, SEVERITY_WARNING, "cmdline-kho-scratch",
					  OBJECT,
					  "kho_scratch=%s has no effect in a kexec: the areas are "
					  "inherited",
					  value),
			       "set it on the command line of a cold boot");
}

static bool keeps_devices(const struct preflight *p)
{
	for (size_t i = 0; i < p->request->vm_count; i++)
		if (p->request->vms[i].keeps_devices)
			return true;
	return false;
}

/* Without translation, what a device that goes on takes for its memory would be anybody's. */
static bool translates(const struct preflight *p, const char *cmdline)
{
	char value[128];

	if (cmdline_value(cmdline, "iommu", value, sizeof(value)) && strstr(value, "off"))
		return false;
	if (cmdline_value(cmdline, "intel_iommu", value, sizeof(value)))
		return strncmp(value, "off", 3) != 0;
	return kernel_config_tristate(p->next.config, "CONFIG_INTEL_IOMMU_DEFAULT_ON") == 'y';
}

static bool has_word(const char *cmdline, const char *name, const char *word)
{
	char value[256];

	return cmdline_value(cmdline, name, value, sizeof(value)) && strstr(value, word);
}

static void add_devices(struct preflight *p, const char *reason, const char *way_out)
{
	report_way_out(report_add(p->report, SEVERITY_ERROR, "cmdline-devices", OBJECT,
				  "%s (VMs have devices with policy=preserve)", reason),
		       "%s", way_out);
}

/* Those of iommu/kernel need a switch, and are for VT-d. */
static void check_devices(struct preflight *p, const char *cmdline)
{
	if (!keeps_devices(p) || !kernel_handler_version(&p->next.abi, HANDLERS_WITH_SWITCH))
		return;
	if (cmdline_switch(cmdline, "liveupdate_devices") != CMDLINE_ON)
		add_devices(p,
			    HANDLERS_SWITCH " is missing: neither they nor their guests come back",
			    "add " HANDLERS_SWITCH);
	if (!translates(p, cmdline))
		add_devices(p, "the IOMMU is off: they are stopped, or write to memory of others",
			    "add intel_iommu=on, and take iommu=off out");
	if (has_word(cmdline, "intel_iommu", "sm_on"))
		add_devices(p, "scalable mode cannot take their translation over: they are stopped",
			    "take sm_on out of intel_iommu=");
	if (has_word(cmdline, "pci", "assign-busses"))
		add_devices(p, "pci=assign-busses gives them other addresses", "take it out");
}

void check_cmdline(struct preflight *p)
{
	_cleanup_free_ char *cmdline = effective_cmdline(p);

	if (!cmdline) {
		p->report->lost = true;
		return;
	}
	check_liveupdate(p, cmdline);
	check_kho(p, cmdline);
	check_length(p);
	check_others(p, cmdline);
	check_devices(p, cmdline);
}
