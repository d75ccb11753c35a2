/* SPDX-License-Identifier: Apache-2.0 */
/* The next kernel's image: can it be read and started, and is what we need built in? */
#include <string.h>

#include "base/util.h"
#include "luo/preflight/preflight.h"

static const struct {
	int code;
	const char *finding;
	const char *way_out;
} load_failures[] = {
	{-EINVAL, "kernel-truncated", "copy the image again, whole"},
	{-EBADMSG, "kernel-damaged", "copy the image again, or install it again"},
	{-ENOEXEC, "kernel-format", "name a 64-bit bzImage, such as /boot/vmlinuz-*"},
	{-EOPNOTSUPP, "kernel-compression",
	 "build the kernel with CONFIG_KERNEL_ZSTD, _XZ, _LZ4, _GZIP, _BZIP2 or _LZMA"},
};

static void load_failed(struct preflight *p, int code, const struct error *err)
{
	const char *finding = "kernel-unreadable", *way_out = "name a file that can be read";
	const char *reason = error_message(err);
	size_t len = strlen(p->request->kernel);

	for (size_t i = 0; i < ARRAY_SIZE(load_failures); i++)
		if (load_failures[i].code == code) {
			finding = load_failures[i].finding;
			way_out = load_failures[i].way_out;
		}
	/* The object names the file already. */
	if (strncmp(reason, p->request->kernel, len) == 0 && strncmp(reason + len, ": ", 2) == 0)
		reason += len + 2;
	report_way_out(report_add(p->report, SEVERITY_ERROR, finding, p->object, "%s", reason),
		       "%s", way_out);
}

/* An option that the configuration denies, or a name that the image lacks. */
static void require(struct preflight *p, const char *option, bool in_image, const char *code,
		    const char *consequence)
{
	char state = kernel_config_tristate(p->next.config, option);

	if (state == 'n')
		report_way_out(report_add(p->report, SEVERITY_ERROR, code, p->object,
					  "it is built without %s: %s", option, consequence),
			       "use a kernel with %s=y", option);
	else if (!in_image)
		report_way_out(report_add(p->report, SEVERITY_ERROR, code, p->object,
					  "nothing of %s is in the image: %s", option, consequence),
			       "use a kernel with %s=y", option);
}

static void check_built_in(struct preflight *p)
{
	const struct kernel *next = &p->next;

	if (!next->config)
		report_add(p->report, SEVERITY_INFO, "kernel-config", p->object,
			   "it carries no configuration (CONFIG_IKCONFIG): judged by the names in "
			   "the image");
	require(p, "CONFIG_KEXEC_HANDOVER", next->abi.kho != 0, "kernel-no-kho",
		"it would start as after a cold boot, and every guest would be lost");
	require(p, "CONFIG_LIVEUPDATE", next->abi.luo != 0, "kernel-no-liveupdate",
		"it would have no /dev/liveupdate, and every guest would be lost");
	require(p, "CONFIG_LIVEUPDATE_MEMFD", kernel_handler_version(&next->abi, "memfd-v") != 0,
		"kernel-no-memfd", "it could not take guest memory");
	if (kernel_config_tristate(next->config, "CONFIG_KVM") == 'n')
		report_way_out(report_add(p->report, SEVERITY_ERROR, "kernel-no-kvm", p->object,
					  "it is built without CONFIG_KVM: no guest could run"),
			       "use a kernel with CONFIG_KVM");
	if (kernel_config_tristate(next->config, "CONFIG_KEXEC_FILE") == 'n')
		report_way_out(report_add(p->report, SEVERITY_WARNING, "kernel-no-kexec-file",
					  p->object,
					  "it is built without CONFIG_KEXEC_FILE: it cannot itself "
					  "be updated from"),
			       "use a kernel with CONFIG_KEXEC_FILE=y");
}

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = text; at && (at = strstr(at, word)); at += len)
		if ((at == text || strchr(" \t\n:", at[-1])) && strchr(" \t\n", at[len]))
			return true;
	return false;
}

static void check_host_allows(struct preflight *p)
{
	_cleanup_free_ char *disabled =
		sysfs_load(p->root, "/proc/sys/kernel/kexec_load_disabled", 16, NULL);
	_cleanup_free_ char *lockdown =
		sysfs_load(p->root, "/sys/kernel/security/lockdown", 256, NULL);
	_cleanup_free_ char *cpuinfo = sysfs_load(p->root, "/proc/cpuinfo", 65536, NULL);

	if (disabled && disabled[0] != '0')
		report_way_out(report_add(p->report, SEVERITY_ERROR, "kexec-disabled", "this host",
					  "kernel.kexec_load_disabled is %.1s: no kernel can be "
					  "loaded until the next boot",
					  disabled),
			       "take it out of the sysctl configuration and reboot");
	if (lockdown && !strstr(lockdown, "[none]") && strchr(lockdown, '['))
		report_way_out(
			report_add(p->report, SEVERITY_WARNING, "kexec-lockdown", "this host",
				   "the kernel is locked down: only a signed kernel is loaded"),
			"make sure that the image is signed with a key this kernel trusts");
	if (p->next_header && cpuinfo && has_word(cpuinfo, "la57") && !p->next.five_level)
		report_way_out(report_add(p->report, SEVERITY_ERROR, "kernel-5level", p->object,
					  "it cannot be entered with five-level page tables, which "
					  "this kernel uses"),
			       "use a kernel with CONFIG_X86_5LEVEL, or boot this one with no5lvl");
}

void check_kernel(struct preflight *p)
{
	struct error err = ERROR_INIT;
	int r = kernel_load(p->request->kernel, &p->next, &err);

	p->next_header = p->next.init_size != 0;
	p->next_image = r == 0;
	if (r < 0)
		load_failed(p, r, &err);
	else
		check_built_in(p);
	check_host_allows(p);
}
