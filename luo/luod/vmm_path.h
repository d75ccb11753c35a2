/* SPDX-License-Identifier: Apache-2.0 */
/* Where the vmm of this installation is. */
#ifndef HOLDFAST_LUOD_VMM_PATH_H
#define HOLDFAST_LUOD_VMM_PATH_H

#include <stddef.h>

/*
 * The first that is there of: "vmm" in the folder of the running program, in ../bin and ../vmm of
 * it (a build folder), and where meson install puts it. Falls back to the last.
 */
void vmm_default_path(char *path, size_t size);

#endif
