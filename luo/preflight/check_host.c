/* SPDX-License-Identifier: Apache-2.0 */
/* /dev/liveupdate, and PID 1. */
#include <ctype.h>
#include <string.h>

#include "base/util.h"
#include "luo/client.h"
#include "luo/preflight/preflight.h"
#include "luo/preflight/process.h"

#define DEVICE_TIMEOUT_MS 1000U
/* systemd carries its fd stores and its own state over from this version on. */
#define SYSTEMD_LIVEUPDATE 261

static void device_busy(struct preflight *p)
{
	char command[64];
	int pid = process_holder(p->root, LUO_DEVICE, command, sizeof(command));

	if (pid == 0) {
		report_way_out(report_add(p->report, SEVERITY_ERROR, "device-busy", LUO_DEVICE,
					  "another process has it open"),
			       "find it with fuser, as root: it must close the device after each "
			       "call");
		return;
	}
	report_way_out(report_add(p->report, SEVERITY_ERROR,
				  pid == 1 ? "systemd-holds-device" : "device-busy", LUO_DEVICE,
				  "%s (pid %d) has it open, and nobody else can while it does",
				  command, pid),
		       "%s",
		       pid == 1 ? "update systemd: it keeps the device open"
				: "end that process, or make it close the device after use");
}

void check_device(struct preflight *p)
{
	struct error err = ERROR_INIT;
	const char *code;
	char *reason, *way_out;
	int r;

	/* Another host's files have no device that could be opened. */
	if (p->root[0])
		return;
	r = luo_probe(DEVICE_TIMEOUT_MS, &err);
	if (r == 0)
		return;
	if (r == -EBUSY) {
		device_busy(p);
		return;
	}
	code = r == -ENOENT		     ? "device-missing"
	       : r == -EIO		     ? "device-failed"
	       : r == -EACCES || r == -EPERM ? "device-denied"
					     : "device-error";
	reason = err.message;
	if (strncmp(reason, LUO_DEVICE ": ", strlen(LUO_DEVICE ": ")) == 0)
		reason += strlen(LUO_DEVICE ": ");
	/* Messages of luo/ are "reason; way out". */
	way_out = strstr(reason, "; ");
	if (way_out)
		*way_out = '\0';
	report_way_out(report_add(p->report, SEVERITY_ERROR, code, LUO_DEVICE, "%s", reason), "%s",
		       way_out ? way_out + 2 : "see the kernel log");
}

/* "systemd 252 (252.39-1~deb12u1)" -> 252; 0: no systemd. */
static int systemd_version(const struct preflight *p)
{
	char line[128];
	_cleanup_free_ char *comm = sysfs_load(p->root, "/proc/1/comm", 64, NULL);

	if (!comm || strncmp(comm, "systemd", 7) != 0 ||
	    process_version("systemctl", line, sizeof(line)) < 0 ||
	    strncmp(line, "systemd ", 8) != 0 || !isdigit((unsigned char)line[8]))
		return 0;
	return atoi(line + 8);
}

void check_systemd(struct preflight *p)
{
	int version;

	if (p->root[0])
		return;
	version = systemd_version(p);
	if (version == 0 || version >= SYSTEMD_LIVEUPDATE)
		return;
	report_way_out(
		report_add(p->report, SEVERITY_WARNING, "systemd-old", "PID 1",
			   "systemd %d does not carry file descriptor stores over: sessions "
			   "that other services keep there are lost, and \"systemctl kexec\" "
			   "would end every guest",
			   version),
		"update with luoctl, which makes the reboot call itself; systemd %d or later "
		"knows live update",
		SYSTEMD_LIVEUPDATE);
}
