/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs while Holdfast is built: the policies that it is linked with, as a C file of seccomp filters
 * on standard output. `filter_gen names` writes the names of system calls instead.
 */
#include <linux/filter.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/confine/filter.h"
#include "base/confine/policy.h"
#include "base/util.h"

#define CODE_MAX  4096
#define NAMES_MAX 512

static uint32_t action_of(enum policy_verdict verdict, int code)
{
	switch (verdict) {
	case POLICY_ALLOW:
		return SCMP_ACT_ALLOW;
	case POLICY_REFUSE:
		return SCMP_ACT_ERRNO((uint32_t)code);
	case POLICY_TRAP:
	default:
		return SCMP_ACT_TRAP;
	}
}

static int complain(const struct policy *policy, const char *what, int code)
{
	fprintf(stderr, "filter_gen: %s: %s: %s\n", policy->role, what, strerror(-code));
	return code;
}

static int add_rule(scmp_filter_ctx ctx, const struct policy *policy,
		    const struct policy_rule *rule)
{
	struct scmp_arg_cmp cmp[POLICY_CHECKS_MAX];
	int number = seccomp_syscall_resolve_name(rule->call), r;

	if (number == __NR_SCMP_ERROR)
		return complain(policy, rule->call, -ENOSYS);
	for (unsigned int i = 0; i < rule->count; i++)
		cmp[i] = SCMP_CMP64(rule->checks[i].arg, SCMP_CMP_MASKED_EQ, rule->checks[i].mask,
				    rule->checks[i].value);
	r = seccomp_rule_add_array(ctx, action_of(rule->verdict, rule->code), number, rule->count,
				   cmp);
	/* Two groups name the same call. */
	if (r == -EEXIST)
		return 0;
	return r < 0 ? complain(policy, rule->call, r) : 0;
}

static int add_rules(scmp_filter_ctx ctx, const struct policy *policy)
{
	/* What every role does most. */
	static const struct {
		const char *call;
		uint8_t priority;
	} often[] = {{"ioctl", 255}, {"epoll_wait", 254},     {"read", 253},
		     {"write", 252}, {"io_uring_enter", 251}, {"futex", 250}};
	int r = 0;

	for (unsigned int i = 0; i < POLICY_GROUPS_MAX && policy->groups[i]; i++) {
		for (const struct policy_rule *rule = policy->groups[i]; r == 0 && rule->call;
		     rule++)
			r = add_rule(ctx, policy, rule);
	}
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS,
				     seccomp_syscall_resolve_name(FILTER_END_CALL_NAME), 0);
	for (unsigned int i = 0; r == 0 && i < ARRAY_SIZE(often); i++)
		seccomp_syscall_priority(ctx, seccomp_syscall_resolve_name(often[i].call),
					 often[i].priority);
	return r;
}

static int write_code(FILE *file, const struct policy *policy, unsigned int *ret_count)
{
	static struct sock_filter code[CODE_MAX];
	size_t count = fread(code, sizeof(code[0]), CODE_MAX, file);

	if (count == 0 || count >= CODE_MAX || count >= BPF_MAXINSNS)
		return complain(policy, "its length", -E2BIG);
	printf("static const struct sock_filter code_%s[] = {\n", policy->role);
	for (size_t i = 0; i < count; i++)
		printf("\t{0x%02x, %u, %u, 0x%08x},\n", code[i].code, code[i].jt, code[i].jf,
		       code[i].k);
	printf("};\n\n");
	*ret_count = (unsigned int)count;
	return 0;
}

static int make(const struct policy *policy)
{
	scmp_filter_ctx ctx = seccomp_init(action_of(policy->otherwise, 0));
	FILE *file = tmpfile();
	unsigned int count;
	int r;

	if (!ctx || !file)
		return complain(policy, "out of memory", -ENOMEM);
	seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	r = add_rules(ctx, policy);
	if (r == 0)
		r = seccomp_export_bpf(ctx, fileno(file));
	rewind(file);
	if (r == 0)
		r = write_code(file, policy, &count);
	fclose(file);
	seccomp_release(ctx);
	return r;
}

static int make_all(void)
{
	int r = 0;

	printf("/* Made by filter_gen. */\n#include \"base/confine/filter.h\"\n\n");
	for (const struct policy *p = policies; r == 0 && p->role; p++)
		r = make(p);
	printf("extern const struct filter %s[];\nconst struct filter %s[] = {\n", policy_array,
	       policy_array);
	for (const struct policy *p = policies; p->role; p++)
		printf("\t{\"%s\", code_%s, sizeof(code_%s) / sizeof(code_%s[0])},\n", p->role,
		       p->role, p->role, p->role);
	printf("\t{0},\n};\n");
	return r < 0;
}

static int make_names(void)
{
	printf("/* Made by filter_gen. */\n#include \"base/confine/filter_names.h\"\n\n"
	       "const char *const filter_call_names[FILTER_CALL_NAMES_MAX] = {\n");
	for (int i = 0; i < NAMES_MAX; i++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);

		if (name)
			printf("\t[%d] = \"%s\",\n", i, name);
		free(name);
	}
	printf("};\n");
	return 0;
}

int main(int argc, char **argv)
{
	return argc > 1 && strcmp(argv[1], "names") == 0 ? make_names() : make_all();
}
