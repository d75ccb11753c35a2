/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of vmm: options with the names that the configuration file has, and those that
 * belong to the process and not to the VM.
 */
#ifndef HOLDFAST_VMM_CLI_H
#define HOLDFAST_VMM_CLI_H

#include <stdio.h>

#include "base/log.h"
#include "vmm/config.h"

/* Exit codes; vmm(1) documents them. */
#define EXIT_CODE_OK	  0
#define EXIT_CODE_FAILURE 1
#define EXIT_CODE_USAGE	  2

#define SHUTDOWN_TIMEOUT_DEFAULT 60U
#define SHUTDOWN_TIMEOUT_MAX	 86400U

enum cli_action {
	CLI_RUN,
	CLI_HELP,
	CLI_VERSION,
};

struct cli {
	enum cli_action action;
	/*
	 * A cold boot: the whole configuration, checked. With resume: only id and, where given,
	 * agent are set, and overrides says what replaces the values in the preserved state.
	 */
	struct vm_config config;
	bool resume;
	bool empty;		/* no VM yet: its API makes one. config has api-socket and agent */
	char restore[PATH_MAX]; /* with resume: the snapshot that it comes out of; "" for none */
	json_t *overrides;	/* owned; an object, never NULL after a successful parse */
	enum log_level log_level;
	char log_file[PATH_MAX];   /* "": standard error */
	uint32_t shutdown_timeout; /* seconds from the power button to force */
};

/*
 * 0, or -EINVAL with everything that is wrong in options, file and host in one message. argv is as
 * main() has it. On success the caller calls cli_done().
 */
int cli_parse(int argc, const char *const *argv, struct cli *ret, struct error *err);
void cli_done(struct cli *cli);

void cli_print_help(FILE *out);
void cli_print_version(FILE *out);

#endif
