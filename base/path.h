/* SPDX-License-Identifier: Apache-2.0 */
/* Paths as text. */
#ifndef HOLDFAST_BASE_PATH_H
#define HOLDFAST_BASE_PATH_H

#include <limits.h>

/* The folder that path names something in: what stands before its last slash, "/" for one at the
 * beginning, "." where there is none. A longer path than fits is cut off. */
void path_folder(const char *path, char folder[PATH_MAX]);

#endif
