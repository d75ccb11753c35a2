/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of vmm/agent: the test is luod, on a real socket; the VM has a fake machine and a fake
 * LUO. There is one at a time; what a function expects and does not find fails the test.
 */
#ifndef HOLDFAST_TESTS_VM_AGENT_TEST_H
#define HOLDFAST_TESTS_VM_AGENT_TEST_H

#include "base/sock.h"
#include "luo/agent.h"
#include "luo/tokens.h"
#include "vmm/agent.h"

#define SESSION LUO_VM_SESSION_PREFIX FAKE_ID

struct vm_agent_test {
	struct loop *loop;
	struct vm *vm;
	struct agent *agent;
	char folder[64], path[96];
	int listen_fd, fd;
	uint32_t seq;
	json_t *message; /* the last one received */
	int fds[SOCK_FDS_MAX];
	unsigned int fd_count; /* that the exported files came with */
	struct agent_tokens tokens;
	bool over;
	bool not_preservable; /* VMs that are made from now on */
};

extern struct vm_agent_test t;

int start(void **state);
int stop(void **state);

void new_vm(bool resume);
void end_vm(void);
void listen_here(void);
/* So many turns of the loop that nothing is left to do; until there is something to read. */
void turn(void);
void turn_until_readable(int fd);

/* luod's side: takes the VM's connection and the hello, which must tell that phase. */
void accept_hello(const char *phase);
/* Takes fd. */
void ask(enum agent_verb verb, int fd);
void expect_answer(bool ok, const char *phase);
/* The next message, into t.message; a text of it, "" when absent. */
void receive(void);
const char *text_of(const char *key);

#endif
