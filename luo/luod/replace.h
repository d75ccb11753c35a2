/* SPDX-License-Identifier: Apache-2.0 */
/* A luod that another one is to make room for: that of an initramfs, for the host's own. */
#ifndef HOLDFAST_LUOD_REPLACE_H
#define HOLDFAST_LUOD_REPLACE_H

#include "base/error.h"

/*
 * Ends the luod that listens on this socket, if there is one, and returns when it is gone. It
 * writes down what it knows, and its VMs connect to the next one. -EPERM: it is another user's.
 * -ETIMEDOUT: it does not end. Blocks; before the loop runs.
 */
int replace_other(const char *socket_path, struct error *err);

#endif
