/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/util.h"
#include "base/version.h"
#include "vmm/cli.h"
#include "vmm/cli_options.h"

#define VM	OPTION_GROUP_VM
#define PROCESS OPTION_GROUP_PROCESS

const struct cli_option cli_options[] = {
	{"id", OPTION_TEXT, VM, true, "ID", "name of the VM, unique on the host"},
	{"kernel", OPTION_TEXT, VM, false, "FILE", "bzImage, or uncompressed ELF with a PVH entry"},
	{"initramfs", OPTION_TEXT, VM, false, "FILE", "initial RAM file system"},
	{"cmdline", OPTION_TEXT, VM, false, "TEXT", "the guest kernel's command line"},
	{"cpus", OPTION_NUMBER, VM, false, "N", "vCPUs, 1 to 32 (default 1)"},
	{"memory", OPTION_SIZE, VM, false, "SIZE[,...]",
	 "guest RAM, as in 2G (default 512M), or size=SIZE with more keys: vmm(1)"},
	{"console", OPTION_TEXT, VM, true, "MODE",
	 "stdio, pty, file=PATH, socket=PATH or off (default stdio)"},
	{"hvc", OPTION_TEXT, VM, true, "MODE",
	 "a virtio console: stdio, pty, file=PATH, socket=PATH or off (default off)"},
	{"rng", OPTION_TEXT, VM, false, "src=FILE|off",
	 "what the guest's entropy device reads (default src=/dev/urandom)"},
	{"balloon", OPTION_TEXT, VM, false, "size=SIZE[,...]",
	 "memory that the guest does without, or off (the default); keys in vmm(1)"},
	{"vsock", OPTION_TEXT, VM, false, "cid=N|off",
	 "sockets between guest and host, the guest's CID (default off)"},
	{"disk", OPTION_LIST, VM, false, "path=FILE[,...]",
	 "a raw image or block device as a disk; several times for several, keys in vmm(1)"},
	{"net", OPTION_LIST, VM, false, "tap=NAME[,...]",
	 "a network card on a tap; several times for several, keys in vmm(1)"},
	{"device", OPTION_LIST, VM, false, "ADDRESS[,...]",
	 "a PCI device of the host; several times for several, keys in vmm(1)"},
	{"api-socket", OPTION_TEXT, VM, true, "PATH", "serve the HTTP API on this UNIX socket"},
	{"agent", OPTION_TEXT, VM, true, "PATH", "luod's socket: luod drives this VM's updates"},
	{"preserve-on-update", OPTION_FLAG, VM, false, NULL,
	 "let the VM live through an update of the host's kernel"},
	{"user", OPTION_TEXT, VM, true, "USER[:GROUP]",
	 "become this user for good, when root starts the vmm (default: stay)"},
	{"seccomp", OPTION_TEXT, VM, true, "on|log|off",
	 "end the process for a system call that its thread has no need of, tell the kernel's log, "
	 "or nothing (default on)"},
	{"landlock", OPTION_TEXT, VM, true, "on|off",
	 "open no file but those of the VM (default on)"},
	{"landlock-rules", OPTION_LIST, VM, true, "path=PATH[,access=r|rw]",
	 "what devices that are plugged in later may be on; several times for several"},
	{"config", OPTION_TEXT, PROCESS, false, "FILE",
	 "JSON file with the options above; the command line overrides it"},
	{"resume", OPTION_FLAG, PROCESS, true, NULL,
	 "take up the VM --id that the previous kernel handed over"},
	{"restore", OPTION_TEXT, PROCESS, true, "FILE", "take up the VM of a snapshot"},
	{"shutdown-timeout", OPTION_NUMBER, PROCESS, true, "SECONDS",
	 "from the power button to force, after SIGTERM (default 60)"},
	{"log-level", OPTION_TEXT, PROCESS, true, "LEVEL",
	 "error, warning, info or debug (default info)"},
	{"log-file", OPTION_TEXT, PROCESS, true, "FILE",
	 "append the log to FILE (default: standard error)"},
	{"help", OPTION_FLAG, PROCESS, true, NULL, "print this text"},
	{"version", OPTION_FLAG, PROCESS, true, NULL, "print the version"},
};

const unsigned int cli_option_count = ARRAY_SIZE(cli_options);

const struct cli_option *cli_option_find(const char *name, size_t len)
{
	for (unsigned int i = 0; i < cli_option_count; i++) {
		if (strncmp(cli_options[i].name, name, len) == 0 && !cli_options[i].name[len])
			return &cli_options[i];
	}
	return NULL;
}

void cli_print_help(FILE *out)
{
	fputs("Usage: vmm --id ID --kernel FILE [OPTION...]\n"
	      "       vmm --config FILE [OPTION...]\n"
	      "       vmm --resume --id ID [OPTION...]\n"
	      "       vmm --restore FILE [OPTION...]\n"
	      "       vmm --api-socket PATH\n"
	      "Run one virtual machine.\n\n",
	      out);
	for (unsigned int i = 0; i < cli_option_count; i++) {
		const struct cli_option *o = &cli_options[i];
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%s", o->name, o->argument ? " " : "",
			 o->argument ? o->argument : "");
		fprintf(out, "  %-26s %s\n", left, o->help);
	}
	fputs("\nSignals: SIGTERM, SIGINT: power button, then force; SIGUSR2: prepare and freeze "
	      "for an update;\nSIGUSR1: thaw, or give up the update.\n"
	      "Exit status: 0 the guest was switched off, 1 failure, 2 wrong usage.\n"
	      "See vmm(1).\n",
	      out);
}

void cli_print_version(FILE *out)
{
	fprintf(out, "vmm (holdfast) %s\n", HOLDFAST_VERSION);
}
