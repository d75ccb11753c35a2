/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a VM, as tests make them, and their answers: each comes once. */
#ifndef HOLDFAST_TESTS_UNIT_VM_ASK_H
#define HOLDFAST_TESTS_UNIT_VM_ASK_H

#include <stdio.h>

#include "vmm/vm.h"

struct vm_answer {
	bool answered;
	int result;
	char message[ERROR_MESSAGE_MAX]; /* why not; "" after a success */
};

static inline void vm_answer_take(void *opaque, int result, const struct error *err)
{
	struct vm_answer *a = opaque;

	assert_false(a->answered);
	a->answered = true;
	a->result = result;
	snprintf(a->message, sizeof(a->message), "%s", result < 0 ? err->message : "");
}

/* Turns of the loop until nothing is left to do; what is waited for longer fails. */
static inline void vm_turn(struct loop *loop)
{
	for (unsigned int i = 0; i < 12; i++)
		assert_int_equal(loop_run_once(loop, 5), 0);
}

/* 0: the answer comes later; negative: it has come, and the request was refused. */
static inline int vm_ask_begin(struct vm *vm, enum vm_verb verb, enum vm_caller caller, int fd,
			       struct vm_answer *a)
{
	const struct vm_request request = {.verb = verb, .caller = caller, .session_fd = fd};
	struct error err = ERROR_INIT;
	int r;

	*a = (struct vm_answer){0};
	r = vm_request(vm, &request, vm_answer_take, a, &err);
	if (r < 0)
		snprintf(a->message, sizeof(a->message), "%s", err.message);
	return r;
}

static inline int vm_ask_finish(struct loop *loop, struct vm_answer *a)
{
	for (unsigned int i = 0; !a->answered && i < 1000; i++)
		assert_int_equal(loop_run_once(loop, 100), 0);
	assert_true(a->answered);
	vm_turn(loop);
	return a->result;
}

#endif
