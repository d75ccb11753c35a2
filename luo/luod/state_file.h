/* SPDX-License-Identifier: Apache-2.0 */
/*
 * <run>/luod.json: the registry for a luod that is started again on the same kernel. The file is
 * replaced as a whole, and of no worth after a boot: it names the boot it is of.
 */
#ifndef HOLDFAST_LUOD_STATE_FILE_H
#define HOLDFAST_LUOD_STATE_FILE_H

#include "luo/luod/luod.h"

/* Writes a document to a file of mode 0600: a new file takes the old one's place (rename(2)). */
int file_write_json(const char *path, const json_t *doc, struct error *err);

int state_file_write(const struct luod *luod, struct error *err);

/*
 * Reads into luod->registry, which is empty before. 1: read. 0: there is none, or it is of another
 * boot. Negative: it is damaged; nothing was taken from it.
 */
int state_file_read(struct luod *luod, struct error *err);

/* Puts right what the luod that wrote the file could not: an update that it did not end has failed,
 * and nobody is connected. */
void state_file_settle(struct luod *luod);

#endif
