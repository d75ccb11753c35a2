/* SPDX-License-Identifier: Apache-2.0 */
/* The table of options: what the parser reads and --help prints. */
#ifndef HOLDFAST_VMM_CLI_OPTIONS_H
#define HOLDFAST_VMM_CLI_OPTIONS_H

#include <stdbool.h>

enum option_kind {
	OPTION_TEXT,
	OPTION_NUMBER,
	OPTION_SIZE,
	OPTION_LIST, /* text; several values, and several times */
	OPTION_FLAG, /* --name, --name=true or --name=false */
};

enum option_group {
	OPTION_GROUP_VM,      /* a key of the configuration */
	OPTION_GROUP_PROCESS, /* of this process only */
};

struct cli_option {
	const char *name; /* without the dashes */
	enum option_kind kind;
	enum option_group group;
	bool with_resume;     /* may stand beside --resume */
	const char *argument; /* for --help; NULL for a flag */
	const char *help;
};

extern const struct cli_option cli_options[];
extern const unsigned int cli_option_count;

/* NULL: no such option. */
const struct cli_option *cli_option_find(const char *name, size_t len);

#endif
