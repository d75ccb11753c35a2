/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What threads may ask of the kernel, as tables. filter_gen turns them into programs for seccomp(2)
 * when Holdfast is built, with libseccomp, so that no VMM needs time for it when a guest waits.
 */
#ifndef HOLDFAST_BASE_CONFINE_POLICY_H
#define HOLDFAST_BASE_CONFINE_POLICY_H

#include <stdint.h>

#define POLICY_CHECKS_MAX 2
#define POLICY_GROUPS_MAX 13

/* (argument & mask) == value. Stands for the process's own id where value is FILTER_OWN_PID. */
struct policy_check {
	unsigned int arg;
	uint64_t mask, value;
};

enum policy_verdict {
	POLICY_ALLOW,
	POLICY_REFUSE, /* the call fails with the rule's errno */
	POLICY_TRAP,   /* the process is ended, and says which call it was (filter.h) */
};

/* A call is covered by a rule when all its checks hold, and by several rules of one verdict when
 * any of them does. */
struct policy_rule {
	const char *call; /* as syscalls(2) names it; NULL ends a table */
	unsigned int count;
	struct policy_check checks[POLICY_CHECKS_MAX];
	enum policy_verdict verdict;
	int code; /* of POLICY_REFUSE */
};

#define POLICY_32  0xffffffffULL
#define CALL(name) {.call = #name}
#define CALL_IF(name, n, v)                                                            \
	{                                                                              \
		.call = #name, .count = 1, .checks = { {n, POLICY_32, (uint32_t)(v)} } \
	}
#define CALL_IF_NOT(name, n, bits)                                    \
	{                                                             \
		.call = #name, .count = 1, .checks = { {n, bits, 0} } \
	}
#define CALL_REFUSE(name, e) {.call = #name, .verdict = POLICY_REFUSE, .code = (e)}
/* An ioctl(2) by its number, or by the type of its number (_IOC_TYPE): the kernel looks at 32 bits.
 */
#define IOCTL(request) CALL_IF(ioctl, 1, request)
#define IOCTL_TYPE(type)                                                            \
	{                                                                           \
		.call = "ioctl", .count = 1, .checks = { {1, 0xff00, (type) << 8} } \
	}

struct policy {
	const char *role;
	enum policy_verdict otherwise; /* what no rule covers */
	const struct policy_rule *groups[POLICY_GROUPS_MAX];
};

/* What filter_gen is linked with: the name of the array that it writes, and the policies for it,
 * ended by a role of NULL. */
extern const char policy_array[];
extern const struct policy policies[];

#endif
