/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether an update can be expected to succeed, before anything is touched: the next kernel's image
 * against what this kernel will write, its command line, its place in memory, and this host's VMs.
 * Nothing is changed; /dev/liveupdate is opened and closed once.
 */
#ifndef HOLDFAST_LUO_PREFLIGHT_PREFLIGHT_H
#define HOLDFAST_LUO_PREFLIGHT_PREFLIGHT_H

#include "luo/inspect/sysfs.h"
#include "luo/preflight/kernel.h"
#include "luo/preflight/report.h"

/* A VM that shall go through, not one that has ended. Strings are borrowed. */
struct preflight_vm {
	const char *id;
	int pid; /* of its vmm; 0: not running */
	bool preserve;
	bool keeps_devices;  /* devices of the host stay with it (policy=preserve) */
	const char *phase;   /* of luo/agent.h; NULL: not known */
	const char *binary;  /* the vmm that will take it up; NULL: not known */
	const char *version; /* the running vmm's; NULL: not known */
};

struct preflight_request {
	const char *kernel;
	const char *initrd;	    /* NULL or "": none */
	const char *cmdline;	    /* NULL: the running one, as luoctl update reuses it */
	const char *running_kernel; /* image of the running kernel; NULL: /boot/vmlinuz-<release> */
	const char *root;	    /* "" or a folder that stands for "/" in /proc, /sys and /dev */
	const struct preflight_vm *vms;
	size_t vm_count;
};

/*
 * Fills *report (zeroed before). Fails only for want of memory: everything else is a finding. Takes
 * a second or two: it decompresses a kernel.
 */
int preflight_run(const struct preflight_request *request, struct report *report,
		  struct error *err);

/* ---- Between the checks. ---- */

struct preflight {
	const struct preflight_request *request;
	const char *root;
	struct report *report;
	struct inspect_sysfs sysfs;
	struct kernel next;
	bool next_header, next_image; /* what could be read of it */
	struct kernel_abi running;    /* what this kernel writes */
	char running_source[160];     /* where that is known from; "" : not known */
	char release[65];
	char *running_cmdline; /* NULL: unreadable */
	char *cmdline;	       /* the next kernel's, without the built-in part */
	char object[160];      /* "kernel /boot/vmlinuz-7.3" */
};

void preflight_running(struct preflight *p); /* fills running, running_source */
void check_kernel(struct preflight *p);
void check_abi(struct preflight *p);
void check_cmdline(struct preflight *p);
void check_scratch(struct preflight *p);
void check_device(struct preflight *p);
void check_systemd(struct preflight *p);
void check_vms(struct preflight *p); /* also the memory that they need */

#endif
