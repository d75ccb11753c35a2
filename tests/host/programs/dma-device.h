/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What dma-keep and dma-faults do with the edu device and its memory, as a VMM does. Whatever fails
 * that must not says so and ends the process. dma-keep.h has the numbers.
 */
#ifndef DMA_DEVICE_H
#define DMA_DEVICE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "dma-keep.h"

/* DMA_KEEP_SEED, if it is there, makes the bytes of the pages others than those of other runs. */
void take_seed(void);

void say(const char *what);
/* The call must have failed with that errno. */
void refused(int result, int expected, const char *what);
void check(const struct error *err, int result);
/* Says "kept" and waits for SIGUSR1. */
void wait_for_signal(void);
/* All is preserved: writes the frames, keeps it until the signal, then uses the device as before.
 */
void keep_until_told(const struct keep *k, const char *folder, const char *session);

/* -- the device: -1 with errno, but for what must not fail --------------------------------------
 */

int open_path(const char *address);
int bind_iommufd(const struct keep *k);
int attach(const struct keep *k);
int detach(const struct keep *k);
int map_at(const struct keep *k, unsigned int piece, uint64_t iova);
int unmap(const struct keep *k, uint64_t iova);
void make_ioas(struct keep *k);
void map_all(const struct keep *k);
void map_registers(struct keep *k);
uint16_t command_register(const struct keep *k);
/* It writes what is in its buffer to that page. */
void use_device(const struct keep *k, unsigned int page, const char *when);
/* Bound, attached to the memory and used once. */
void open_device(struct keep *k, const char *address);
/* Memory, iommufd and device, bound, attached, mapped and used once. */
void open_all(struct keep *k, const char *address);
/* After a session was closed: all that was refused while it was open works. */
void change_all(const struct keep *k);

/* -- the session: 0 or a descriptor, or negative errno, which is in errno too -------------------
 */

int preserve(const struct keep *k, int fd, uint64_t token);
void preserve_memory(const struct keep *k);
/* And its memory before it. */
void preserve_iommufd(const struct keep *k);
void preserve_all(const struct keep *k);
void make_session(struct keep *k, const char *name);
void take_session(struct keep *k, const char *name);
int take_fd(const struct keep *k, uint64_t token, const char *what);
int finish(const struct keep *k);
void take_memory(struct keep *k);
/* Memory, iommufd and device. */
void take_files(struct keep *k);

#endif
