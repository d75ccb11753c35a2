/* SPDX-License-Identifier: Apache-2.0 */
#include "base/confine/filter.h"

#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "base/confine/filter_names.h"
#include "base/log.h"
#include "base/util.h"

#define WAY_OUT                                                                          \
	"if nothing attacks this VM, it is a fault of this program: report it, and use " \
	"--seccomp log until it is mended"

const struct filter *filter_find(const struct filter *filters, const char *role)
{
	for (const struct filter *f = filters; f->role; f++) {
		if (strcmp(f->role, role) == 0)
			return f;
	}
	return NULL;
}

static const char *name_of(int call)
{
	const char *name =
		call >= 0 && call < FILTER_CALL_NAMES_MAX ? filter_call_names[call] : NULL;

	return name ? name : "unknown";
}

/* On the thread that made the call, in the place of the call: nothing is interrupted in the middle.
 */
static void on_refused(int signo _unused_, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	char thread[16] = "?", line[512];
	unsigned long long args[2] = {0};

#ifdef __x86_64__
	args[0] = (unsigned long long)uc->uc_mcontext.gregs[REG_RDI];
	args[1] = (unsigned long long)uc->uc_mcontext.gregs[REG_RSI];
#else
	(void)uc;
#endif
	prctl(PR_GET_NAME, thread, 0, 0, 0);
	snprintf(line, sizeof(line),
		 "seccomp: thread %s is not allowed the system call %s (%d; %#llx, %#llx): the "
		 "process is ended; " WAY_OUT,
		 thread, name_of(info->si_syscall), info->si_syscall, args[0], args[1]);
	log_last_words(line);
	syscall(FILTER_END_CALL);
	/* Only where that call was allowed after all. */
	_exit(1);
}

int filter_report(struct error *err)
{
	struct sigaction action = {.sa_sigaction = on_refused, .sa_flags = SA_SIGINFO};

	sigemptyset(&action.sa_mask);
	if (sigaction(SIGSYS, &action, NULL) < 0)
		return error_sys(err, -errno, "seccomp: cannot handle SIGSYS");
	return 0;
}

static void adapt(struct sock_filter *code, unsigned int count, enum filter_mode mode)
{
	for (unsigned int i = 0; i < count; i++) {
		if (BPF_CLASS(code[i].code) == BPF_JMP && code[i].k == FILTER_OWN_PID)
			code[i].k = (uint32_t)getpid();
		if (mode == FILTER_LOG && code[i].code == (BPF_RET | BPF_K) &&
		    (code[i].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_TRAP)
			code[i].k = SECCOMP_RET_LOG;
	}
}

int filter_enter(const struct filter *filter, enum filter_mode mode, struct error *err)
{
	_cleanup_free_ struct sock_filter *code = NULL;
	struct sock_fprog program = {.len = filter->count};
	sigset_t set;

	if (mode == FILTER_OFF)
		return 0;
	code = malloc(filter->count * sizeof(*code));
	if (!code)
		return error_set(err, -ENOMEM, "seccomp: %s: out of memory", filter->role);
	memcpy(code, filter->code, filter->count * sizeof(*code));
	adapt(code, filter->count, mode);
	program.filter = code;
	/* Blocked, it would end the process without a word. */
	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		return error_sys(err, -errno,
				 "seccomp: %s: the kernel does not take the filter; it needs "
				 "CONFIG_SECCOMP_FILTER, or --seccomp off",
				 filter->role);
	return 0;
}
