/* SPDX-License-Identifier: Apache-2.0 */
/* luoctl(1): the table of sub-commands. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "base/version.h"
#include "luo/luoctl/luoctl.h"

#define API_SOCKET "/run/holdfast/api.sock"

static const struct ctl_command commands[] = {
	{"status", "", "luod, the host, and the update under way", cmd_status},
	{"list", "", "the VMs of this host", cmd_list},
	{"create", "[--owner UID] FILE", "create the VM that the JSON file describes, not started",
	 cmd_create},
	{"start", "[--owner UID] FILE | ID",
	 "start the VM that the JSON file describes, or one that ended", cmd_start},
	{"adopt", "ID API-SOCKET", "take a VM that runs without luod into its care", cmd_adopt},
	{"run", "[--owner UID] FILE",
	 "start the VM that the JSON file describes, or join it, and stay until it ends", cmd_run},
	{"stop", "[--force] [--wait SECONDS] ID | --all",
	 "press a VM's power button, or end it at once, also after so many seconds", cmd_stop},
	{"owner", "ID UID", "say which user may see a VM and act on it, beside root", cmd_owner},
	{"events", "[ID]", "what happens, as it happens", cmd_events},
	{"resume", "[--vmm PATH] ID", "take up again a VM whose resume failed", cmd_resume},
	{"forget", "[--discard] ID", "drop a VM that ended; with --discard also preserved memory",
	 cmd_forget},
	{"preflight", "--kernel FILE [--initrd FILE] [--cmdline TEXT] [--running-kernel FILE]",
	 "tell whether an update to that kernel would succeed, and why not", cmd_preflight},
	{"update",
	 "--kernel FILE [--initrd FILE] [--cmdline TEXT | --reuse-cmdline]\n"
	 "           [--freeze-timeout MS] [--prepare-timeout MS] [--pause-timeout MS]\n"
	 "           [--at-once N] [--order ID,...] [--on-unpreservable refuse|shutdown|snapshot]\n"
	 "           [--snapshot-dir DIR]\n"
	 "           [--shutdown-timeout MS] [--stop-host] [--dry-run] [--no-wait]\n"
	 "           [--skip-preflight]",
	 "take all VMs through a kexec into another kernel", cmd_update},
	{"upgrade-vmm", "[--vmm PATH] [--freeze-timeout MS] ID... | --all",
	 "exchange the vmm of running VMs for another, on the kernel that runs", cmd_upgrade_vmm},
	{"abort", "", "take back the update under way; all guests go on", cmd_abort},
	{"continue", "", "for systemd's shutdown hook: the host is stopped, go on with the update",
	 cmd_continue},
	{"history", "", "the updates there were", cmd_history},
	{"timeline", "[--svg FILE] [UPDATE]",
	 "how long each phase of the last update took, or of that one; as a picture", cmd_timeline},
	{"metrics", "", "what luod counts, as Prometheus reads it", cmd_metrics},
	{"inspect", "[--from kcore|mem|FILE] [--extents] [--scan-limit SIZE]",
	 "show what a kernel hands to the next: on this host, or in a dump of its memory",
	 cmd_inspect},
	{"describe", "FILE", "show the state of a VM that is in a file", cmd_describe},
	{"device", "list [--all] [ADDRESS]",
	 "the PCI devices of this host, and what a VM could do with each", cmd_device},
	{"device", "bind [--driver NAME] [--group] [--force] ADDRESS ...",
	 "give a device to vfio-pci, or another driver of vfio, so that a VM can have it",
	 cmd_device},
	{"device", "unbind [--force] ADDRESS ...", "give it back to its own driver", cmd_device},
	{"kexec",
	 "--kernel FILE [--initrd FILE] [--cmdline TEXT | --reuse-cmdline]\n"
	 "           [--load-only] [--force] | --unload",
	 "kexec without luod, for VMs that hold their own sessions", cmd_kexec},
};

static void print_help(void)
{
	printf("Usage: luoctl [--socket PATH | --url URL] [--json] COMMAND ...\n"
	       "Take the virtual machines of this host through updates of its kernel.\n\n");
	for (unsigned int i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %s%s%s\n      %s\n", commands[i].name,
		       commands[i].arguments[0] ? " " : "", commands[i].arguments,
		       commands[i].summary);
	printf("\n  --socket PATH  luod's API socket (" API_SOCKET ")\n"
	       "  --url URL      instead, luod on another host: https://ADDRESS:PORT, with\n"
	       "  --cert FILE    the certificate to show (PEM),\n"
	       "  --key FILE     its key (PEM), and\n"
	       "  --cacert FILE  who must have signed that host's certificate (PEM)\n"
	       "  --json         documents for scripts instead of tables\n"
	       "  --help         print this text\n"
	       "  --version      print the version\n\n"
	       "\"luoctl vm COMMAND\" is the same as \"luoctl COMMAND\".\n"
	       "Exit status: 0 done, 1 refused or failed, 2 usage, 3 no luod, 4 not every VM goes"
	       " on.\n");
}

/*
 * An option with a value, as "--name VALUE" or "--name=VALUE". Returns how many arguments it took,
 * 0: it is not this one, -1 after its value was found missing.
 */
static int take_value(int left, char **argv, const char *name, const char **value)
{
	size_t len = strlen(name);

	if (strncmp(argv[0], name, len) != 0 || (argv[0][len] && argv[0][len] != '='))
		return 0;
	if (argv[0][len] == '=') {
		*value = argv[0] + len + 1;
		return 1;
	}
	if (left < 2) {
		ctl_usage(name, "its value is missing");
		return -1;
	}
	*value = argv[1];
	return 2;
}

static int take_values(int left, char **argv, struct ctl *ctl)
{
	const struct {
		const char *name;
		const char **value;
	} options[] = {{"--socket", &ctl->socket},
		       {"--url", &ctl->url},
		       {"--cert", &ctl->cert},
		       {"--key", &ctl->key},
		       {"--cacert", &ctl->cacert}};
	int taken = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(options) && taken == 0; i++)
		taken = take_value(left, argv, options[i].name, options[i].value);
	return taken;
}

/*
 * Global options may stand anywhere, before and after the command; they are taken out of argv.
 * Returns an exit status, or -1 to go on.
 */
static int take_global(int *argc, char **argv, struct ctl *ctl)
{
	int kept = 1;

	for (int i = 1; i < *argc; i++) {
		int taken = take_values(*argc - i, argv + i, ctl);

		if (taken < 0)
			return CTL_USAGE;
		if (taken > 0) {
			i += taken - 1;
		} else if (strcmp(argv[i], "--json") == 0) {
			ctl->json = true;
		} else if (strcmp(argv[i], "--help") == 0) {
			print_help();
			return CTL_OK;
		} else if (strcmp(argv[i], "--version") == 0) {
			puts("luoctl " HOLDFAST_VERSION);
			return CTL_OK;
		} else {
			argv[kept++] = argv[i];
		}
	}
	*argc = kept;
	argv[kept] = NULL;
	if (ctl->url && strncmp(ctl->url, "https://", 8) != 0)
		return ctl_usage("--url", "%s: it must begin with https://", ctl->url);
	return -1;
}

int main(int argc, char **argv)
{
	_cleanup_free_ struct api_client *client = api_client_new();
	struct ctl ctl = {.socket = API_SOCKET, .client = client};
	int status = take_global(&argc, argv, &ctl);

	if (status >= 0)
		return status;
	if (argc > 1 && strcmp(argv[1], "vm") == 0) {
		argv++;
		argc--;
	}
	if (argc < 2) {
		print_help();
		return CTL_USAGE;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		return commands[i].run(&ctl, argc - 1, argv + 1);
	}
	return ctl_usage(argv[1], "no such command");
}
