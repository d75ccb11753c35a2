/* SPDX-License-Identifier: Apache-2.0 */
/* Why there is no /dev/liveupdate: read from what the kernel says about itself. */
#include <fcntl.h>
#include <string.h>
#include <zlib.h>

#include "base/util.h"
#include "luo/client.h"
#include "luo/device.h"

#define TEXT_MAX   (64 * KIB)
#define CONFIG_MAX (2 * MIB) /* a distribution's kernel has some 300 KiB */

/* Whole words, as lib/cmdline.c and kstrtobool() of the kernel read them. */
static bool value_is_on(const char *value, size_t len)
{
	if (len >= 2 && (value[0] == 'o' || value[0] == 'O'))
		return value[1] == 'n' || value[1] == 'N';
	return len >= 1 && strchr("yYtT1", value[0]);
}

int luo_cmdline_switch(const char *cmdline, const char *option, bool *ret)
{
	size_t option_len = strlen(option);
	int r = -ENOENT;

	while (*cmdline) {
		size_t len = strcspn(cmdline, " \t\n");

		/* What follows "--" belongs to init. */
		if (len == 2 && strncmp(cmdline, "--", 2) == 0)
			break;
		if (len > option_len && cmdline[option_len] == '=' &&
		    strncmp(cmdline, option, option_len) == 0) {
			*ret = value_is_on(cmdline + option_len + 1, len - option_len - 1);
			r = 0;
		}
		cmdline += len;
		cmdline += strspn(cmdline, " \t\n");
	}
	return r;
}

static bool config_has(const char *config, const char *line)
{
	size_t len = strlen(line);

	for (const char *p = config; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, line, len) == 0 && (p[len] == '\n' || p[len] == '\0'))
			return true;
	}
	return false;
}

static bool kho_is_on(const struct luo_host_facts *facts)
{
	bool on;

	if (luo_cmdline_switch(facts->cmdline, "kho", &on) == 0)
		return on;
	/* A kernel that does not show its configuration gets the benefit of the doubt. */
	return !facts->config ||
	       config_has(facts->config, "CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT=y");
}

int luo_explain_absence(const struct luo_host_facts *facts, struct error *err)
{
	bool on = false;

	if (facts->misc_listed)
		return error_set(
			err, -ENOENT,
			"%s: the driver is there but its node is not; mount devtmpfs on /dev",
			LUO_DEVICE);
	if (facts->config && !config_has(facts->config, "CONFIG_LIVEUPDATE=y"))
		return error_set(err, -ENOENT,
				 "%s: this kernel is built without CONFIG_LIVEUPDATE; boot one that"
				 " has it (Linux 7.2 or later)",
				 LUO_DEVICE);
	if (!facts->cmdline)
		return error_set(err, -ENOENT,
				 "%s: there is no such device, and /proc/cmdline cannot be read to"
				 " tell why; mount /proc",
				 LUO_DEVICE);
	if (luo_cmdline_switch(facts->cmdline, "liveupdate", &on) < 0 || !on)
		return error_set(err, -ENOENT,
				 "%s: live update is off; boot with liveupdate=on kho=on on the"
				 " kernel's command line%s",
				 LUO_DEVICE,
				 facts->config
					 ? ""
					 : ", and a kernel that has CONFIG_LIVEUPDATE (this one"
					   " does not show its configuration)");
	if (!kho_is_on(facts))
		return error_set(err, -ENOENT,
				 "%s: kexec handover is off; boot with kho=on on the kernel's"
				 " command line",
				 LUO_DEVICE);
	return error_set(
		err, -ENOENT,
		"%s: live update is asked for on the command line, but the kernel has none;"
		" either it lacks CONFIG_LIVEUPDATE, or kexec handover turned itself off (no"
		" room for kho_scratch=, or a crash kernel): see \"KHO\" in its log",
		LUO_DEVICE);
}

/* A file of /proc as text; NULL when it cannot be read. */
static char *read_text(const char *path)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = fd >= 0 ? malloc(TEXT_MAX) : NULL;
	size_t used = 0;
	ssize_t n = 0;

	if (!text)
		return NULL;
	while (used < TEXT_MAX - 1 && (n = read(fd, text + used, TEXT_MAX - 1 - used)) > 0)
		used += (size_t)n;
	if (n < 0) {
		free(text);
		return NULL;
	}
	text[used] = '\0';
	return text;
}

static char *read_config(void)
{
	gzFile file = gzopen("/proc/config.gz", "re");
	char *text = file ? malloc(CONFIG_MAX) : NULL;
	int n = text ? gzread(file, text, CONFIG_MAX - 1) : -1;

	if (file)
		gzclose(file);
	if (n <= 0) {
		free(text);
		return NULL;
	}
	text[n] = '\0';
	return text;
}

int luo_explain_missing_device(struct error *err)
{
	_cleanup_free_ char *cmdline = read_text("/proc/cmdline");
	_cleanup_free_ char *misc = read_text("/proc/misc");
	_cleanup_free_ char *config = read_config();
	struct luo_host_facts facts = {
		.cmdline = cmdline,
		.config = config,
		.misc_listed = misc && strstr(misc, " liveupdate\n"),
	};

	return luo_explain_absence(&facts, err);
}
