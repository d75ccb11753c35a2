/* SPDX-License-Identifier: Apache-2.0 */
/* vmm: one virtual machine. See vmm(1). */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "vmm/cli.h"
#include "vmm/program.h"

static int open_log(const struct cli *cli, int *ret_fd)
{
	*ret_fd = FD_NONE;
	if (cli->log_file[0]) {
		*ret_fd = open(cli->log_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
		if (*ret_fd < 0) {
			fprintf(stderr, "vmm: log-file %s: %s\n", cli->log_file, strerror(errno));
			return -errno;
		}
	}
	log_setup(cli->config.id, cli->log_level, *ret_fd >= 0 ? *ret_fd : STDERR_FILENO);
	return 0;
}

static int run(const struct cli *cli)
{
	_cleanup_fd_ int log_fd = FD_NONE;

	if (open_log(cli, &log_fd) < 0)
		return EXIT_CODE_FAILURE;
	return program_run(cli, log_fd);
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;
	struct cli cli;
	int code = EXIT_CODE_OK;

	if (cli_parse(argc, (const char *const *)argv, &cli, &err) < 0) {
		fprintf(stderr, "vmm: %s\nTry vmm --help.\n", error_message(&err));
		return EXIT_CODE_USAGE;
	}
	if (cli.action == CLI_HELP)
		cli_print_help(stdout);
	else if (cli.action == CLI_VERSION)
		cli_print_version(stdout);
	else
		code = run(&cli);
	cli_done(&cli);
	return code;
}
