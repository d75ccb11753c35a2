/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/options.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "luo/luod/vmm_path.h"

const char luod_usage[] =
	"Usage: luod [OPTION...]\n"
	"Take this host's virtual machines through updates of its kernel.\n"
	"\n"
	"  --socket PATH       socket that vmm processes connect to (" AGENT_SOCKET ")\n"
	"  --api-socket PATH   socket of the HTTP API (" LUOD_API_SOCKET ")\n"
	"  --run-dir PATH      configurations and logs of VMs (" LUOD_RUN_DIR ")\n"
	"  --vmm PATH          program for new VMs (default: the vmm beside luod)\n"
	"  --vm-user USER[:GROUP]  whom the vmm of a VM becomes that names no user itself\n"
	"                      (default: " LUOD_VM_USER ", where there is one; root else)\n"
	"  --listen ADDR:PORT  serve the API over TLS too, to clients with certificates;\n"
	"                      needs the four files:\n"
	"  --tls-cert FILE     certificate of this host, with its chain (PEM)\n"
	"  --tls-key FILE      its private key (PEM)\n"
	"  --tls-client-ca FILE  who must have signed the certificates of clients (PEM)\n"
	"  --tls-clients FILE  their subjects and roles: \"admin CN=ops\", \"viewer CN=...\",\n"
	"                      \"uid=1000 CN=...\"\n"
	"  --resume            exit with status 3 if the previous kernel handed over nothing\n"
	"  --replace           end a luod that runs already, and go on in its place\n"
	"  --ready-fd FD       write a newline there and close it when guests of the previous\n"
	"                      kernel run, or five seconds later\n"
	"  --log-level LEVEL   error, warning, info or debug (info)\n"
	"  --help              print this text\n"
	"  --version           print the version\n"
	"\n"
	"What the previous kernel handed over is always taken up, with or without --resume.\n";

enum {
	OPT_SOCKET = 256,
	OPT_API,
	OPT_RUN,
	OPT_VMM,
	OPT_VM_USER,
	OPT_LISTEN,
	OPT_CERT,
	OPT_KEY,
	OPT_CLIENT_CA,
	OPT_CLIENTS,
	OPT_RESUME,
	OPT_REPLACE,
	OPT_READY_FD,
	OPT_LEVEL,
	OPT_HELP,
	OPT_VERSION
};

static const struct option long_options[] = {
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"api-socket", required_argument, NULL, OPT_API},
	{"run-dir", required_argument, NULL, OPT_RUN},
	{"vmm", required_argument, NULL, OPT_VMM},
	{"vm-user", required_argument, NULL, OPT_VM_USER},
	{"listen", required_argument, NULL, OPT_LISTEN},
	{"tls-cert", required_argument, NULL, OPT_CERT},
	{"tls-key", required_argument, NULL, OPT_KEY},
	{"tls-client-ca", required_argument, NULL, OPT_CLIENT_CA},
	{"tls-clients", required_argument, NULL, OPT_CLIENTS},
	{"resume", no_argument, NULL, OPT_RESUME},
	{"replace", no_argument, NULL, OPT_REPLACE},
	{"ready-fd", required_argument, NULL, OPT_READY_FD},
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

static void set_user(struct luod_options *options, struct problems *problems)
{
	struct error err = ERROR_INIT;
	struct identity who;

	if (optarg[0] && identity_parse(optarg, &who, &err) < 0)
		problem_add(problems, "--vm-user: %s", error_message(&err));
	snprintf(options->vm_user, sizeof(options->vm_user), "%s", optarg);
	options->vm_user_told = true;
}

/* What this starts must not have it: whoever waits there would wait for that, too. */
static void set_ready_fd(struct luod_options *options, struct problems *problems)
{
	uint64_t fd;

	if (decimal_parse(optarg, INT_MAX, &fd) < 0 || fd <= STDERR_FILENO ||
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		problem_add(problems, "--ready-fd: %s is no open descriptor above 2", optarg);
	else
		options->ready_fd = (int)fd;
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
	case OPT_VM_USER:
		set_user(options, problems);
		break;
	case OPT_LISTEN:
		if (strlen(optarg) >= sizeof(options->listen))
			problem_add(problems, "--listen: %s is no address and port", optarg);
		else
			snprintf(options->listen, sizeof(options->listen), "%s", optarg);
		break;
	case OPT_CERT:
		set_path(options->tls_cert, sizeof(options->tls_cert), "tls-cert", problems);
		break;
	case OPT_KEY:
		set_path(options->tls_key, sizeof(options->tls_key), "tls-key", problems);
		break;
	case OPT_CLIENT_CA:
		set_path(options->tls_client_ca, sizeof(options->tls_client_ca), "tls-client-ca",
			 problems);
		break;
	case OPT_CLIENTS:
		set_path(options->tls_clients, sizeof(options->tls_clients), "tls-clients",
			 problems);
		break;
	case OPT_RESUME:
		options->must_resume = true;
		break;
	case OPT_REPLACE:
		options->replace = true;
		break;
	case OPT_READY_FD:
		set_ready_fd(options, problems);
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

/* All or nothing: an API that asks for no certificate is not served over a network. */
static void check_tls(const struct luod_options *options, struct problems *problems)
{
	const struct {
		const char *name, *value;
	} needed[] = {{"--tls-cert", options->tls_cert},
		      {"--tls-key", options->tls_key},
		      {"--tls-client-ca", options->tls_client_ca},
		      {"--tls-clients", options->tls_clients}};

	for (unsigned int i = 0; i < ARRAY_SIZE(needed); i++) {
		if (options->listen[0] && !needed[i].value[0])
			problem_add(problems, "--listen needs %s", needed[i].name);
		if (!options->listen[0] && needed[i].value[0])
			problem_add(problems, "%s needs --listen", needed[i].name);
	}
}

int luod_options_parse(int argc, char **argv, struct luod_options *options, enum log_level *level,
		       enum luod_action *action, struct error *err)
{
	struct problems problems = {0};
	int opt;

	*options = (struct luod_options){.socket = AGENT_SOCKET,
					 .api_socket = LUOD_API_SOCKET,
					 .run_dir = LUOD_RUN_DIR,
					 .ready_fd = FD_NONE};
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
	check_tls(options, &problems);
	return problems_result(&problems, err);
}
