/* SPDX-License-Identifier: Apache-2.0 */
/* The process around one VM: loop, signals, API and agent, from start to exit code. */
#ifndef HOLDFAST_VMM_PROGRAM_H
#define HOLDFAST_VMM_PROGRAM_H

#include "vmm/cli.h"

/* Runs the VM until it is over. Returns the exit code; errors are logged. */
int program_run(const struct cli *cli, int log_fd);

#endif
