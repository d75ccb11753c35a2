/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "luo/luod/vmm_path.h"

const char luod_usage[] =
	"Usage: luod [OPTION...]\n"
	"Take this host's virtual machines through updates of its kernel.\n"
	"\n"
	"  --socket PATH       socket that vmm processes connect to (" AGENT_SOCKET ")\n"
	"  --api-socket PATH   socket of the HTTP API (" LUOD_API_SOCKET ")\n"
	"  --run-dir PATH      configurations and logs of VMs (" LUOD_RUN_DIR ")\n"
	"  --vmm PATH          program for new VMs (default: the vmm beside luod)\n"
	"  --resume            exit with status 3 if the previous kernel handed over nothing\n"
	"  --log-level LEVEL   error, warning, info or debug (info)\n"
	"  --help              print this text\n"
	"  --version           print the version\n"
	"\n"
	"What the previous kernel handed over is always taken up, with or without --resume.\n";

enum { OPT_SOCKET = 256, OPT_API, OPT_RUN, OPT_VMM, OPT_RESUME, OPT_LEVEL, OPT_HELP, OPT_VERSION };

static const struct option long_options[] = {
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"api-socket", required_argument, NULL, OPT_API},
	{"run-dir", required_argument, NULL, OPT_RUN},
	{"vmm", required_argument, NULL, OPT_VMM},
	{"resume", no_argument, NULL, OPT_RESUME},
	{"log-level", required_argument, NULL, OPT_LEVEL},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{0},
};

static void set_path(char *field, size_t max, const char *option, struct problems *problems)
{
	if (optarg[0] != '/')
		problem_add(problems, "--%s: %s must be an absolute path", option, optarg);
	else if (strlen(optarg) >= max)
		problem_add(problems, "--%s: the path is longer than %zu bytes", option, max - 1);
	else
		snprintf(field, max, "%s", optarg);
}

/* Room for "/vms/<id>.json.new" under the run folder, and for a socket's address (unix(7)). */
#define RUN_DIR_MAX (PATH_MAX - 128)
#define SOCKET_MAX  108

static void take(int opt, struct luod_options *options, enum log_level *level,
		 enum luod_action *action, struct problems *problems)
{
	switch (opt) {
	case OPT_SOCKET:
		set_path(options->socket, SOCKET_MAX, "socket", problems);
		break;
	case OPT_API:
		set_path(options->api_socket, SOCKET_MAX, "api-socket", problems);
		break;
	case OPT_RUN:
		set_path(options->run_dir, RUN_DIR_MAX, "run-dir", problems);
		break;
	case OPT_VMM:
		set_path(options->vmm, sizeof(options->vmm), "vmm", problems);
		break;
	case OPT_RESUME:
		options->must_resume = true;
		break;
	case OPT_LEVEL:
		if (log_level_parse(optarg, level) < 0)
			problem_add(problems,
				    "--log-level: %s is none of error, warning, info, debug",
				    optarg);
		break;
	case OPT_HELP:
		*action = LUOD_HELP;
		break;
	case OPT_VERSION:
		*action = LUOD_VERSION;
		break;
	default:
		break;
	}
}

int luod_options_parse(int argc, char **argv, struct luod_options *options, enum log_level *level,
		       enum luod_action *action, struct error *err)
{
	struct problems problems = {0};
	int opt;

	*options = (struct luod_options){
		.socket = AGENT_SOCKET, .api_socket = LUOD_API_SOCKET, .run_dir = LUOD_RUN_DIR};
	*level = LOG_LEVEL_INFO;
	*action = LUOD_RUN;
	vmm_default_path(options->vmm, sizeof(options->vmm));
	opterr = 0;
	optind = 1;
	for (;;) {
		int at = optind;

		opt = getopt_long(argc, argv, "", long_options, NULL);
		if (opt < 0)
			break;
		if (opt == '?')
			problem_add(&problems, "%s: no such option, or its argument is missing",
				    argv[at]);
		else
			take(opt, options, level, action, &problems);
	}
	if (optind < argc)
		problem_add(&problems, "%s: luod takes options only", argv[optind]);
	return problems_result(&problems, err);
}
