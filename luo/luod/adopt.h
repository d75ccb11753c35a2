/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM that runs without luod is taken into its care: its vmm is told by its own API where luod
 * listens, and says hello. One that was started with --agent needs none of this. Loop thread.
 */
#ifndef HOLDFAST_LUOD_ADOPT_H
#define HOLDFAST_LUOD_ADOPT_H

#include "luo/luod/vm.h"

struct adoption;

/* Once: result 0, the VM is there; negative: err has the words. */
typedef void adopt_done_fn(void *opaque, struct vm *vm, int result, struct error *err);

/*
 * Begins; done is called later, or never after a negative return. -EALREADY: one of that id is
 * under way. To done: -ENOTCONN: nobody answers at api_socket. -EEXIST: its vmm refuses, for it is
 * another VM or has another luod. -ETIMEDOUT: it agreed and said no hello.
 */
int adopt_begin(struct luod *luod, const char *id, const char *api_socket, adopt_done_fn *done,
		void *opaque, struct error *err);

/* A vmm has said hello. */
void adopt_on_hello(struct luod *luod, struct vm *vm);

/* At luod's end: those that are waited for are not waited for any more. */
void adopt_end_all(struct luod *luod);

#endif
