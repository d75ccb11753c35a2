/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of luod. */
#ifndef HOLDFAST_LUOD_OPTIONS_H
#define HOLDFAST_LUOD_OPTIONS_H

#include "base/log.h"
#include "luo/luod/luod.h"

enum luod_action {
	LUOD_RUN,
	LUOD_HELP,
	LUOD_VERSION,
};

/* Fills in defaults and what argv says. -EINVAL with every problem in one message. */
int luod_options_parse(int argc, char **argv, struct luod_options *options, enum log_level *level,
		       enum luod_action *action, struct error *err);

extern const char luod_usage[];

#endif
