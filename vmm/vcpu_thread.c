/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/kvm.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/loop.h"
#include "base/util.h"
#include "vmm/vcpu_priv.h"

void vcpu_set_immediate_exit(struct vcpu *vcpu, bool on)
{
	__atomic_store_n(&vcpu->run->immediate_exit, on ? 1 : 0, __ATOMIC_SEQ_CST);
}

/* Waits until this vCPU may run. False: the thread has to end. */
static bool wait_turn(struct vcpu *vcpu)
{
	struct vcpu_set *set = vcpu->set;
	bool go;

	pthread_mutex_lock(&set->lock);
	vcpu->parked = true;
	set->parked++;
	pthread_cond_broadcast(&set->changed);
	while (!set->quit && (vcpu->dead || atomic_load(&set->hold)))
		pthread_cond_wait(&set->changed, &set->lock);
	set->parked--;
	vcpu->parked = false;
	go = !set->quit;
	pthread_mutex_unlock(&set->lock);
	return go;
}

static void note_ran(struct vcpu *vcpu)
{
	struct vcpu_set *set = vcpu->set;

	if (atomic_exchange(&vcpu->ran, true))
		return;
	if (atomic_fetch_sub(&set->unproven, 1) == 1)
		set->params.on_event(set->params.opaque, MACHINE_EVENT_ALL_VCPUS_RAN, NULL);
}

static void note_interrupted(struct vcpu *vcpu)
{
	const struct vcpu_set_params *p = &vcpu->set->params;

	if (!atomic_load(&vcpu->ran) && p->ops->entered(p->backend, vcpu->index))
		note_ran(vcpu);
}

static void run_failed(struct vcpu *vcpu, int code)
{
	struct error err = ERROR_INIT;

	error_sys(&err, code, "vCPU %u: KVM_RUN failed (exit reason %u)", vcpu->index,
		  vcpu->run->exit_reason);
	vcpu_tell_crash(vcpu, &err);
}

/* Until it has to park, or is dead. */
static enum vcpu_verdict run_guest(struct vcpu *vcpu)
{
	const struct vcpu_set_params *p = &vcpu->set->params;
	enum vcpu_verdict verdict;

	for (;;) {
		int r = p->ops->run(p->backend, vcpu->index);

		if (r == -EINTR) {
			note_interrupted(vcpu);
			if (atomic_load(&vcpu->set->hold))
				return VCPU_RUN_ON;
			continue;
		}
		/* An AP that was woken by INIT or SIPI: KVM wants to be called again. */
		if (r == -EAGAIN)
			continue;
		if (r < 0) {
			run_failed(vcpu, r);
			return VCPU_DEAD;
		}
		verdict = vcpu_handle_exit(vcpu);
		if (verdict == VCPU_DEAD)
			return verdict;
		note_ran(vcpu);
	}
}

/* Only the kick reaches this thread; what the process is sent goes to the loop's. */
static void take_kicks_only(void)
{
	sigset_t set;

	sigfillset(&set);
	sigdelset(&set, VCPU_KICK_SIGNAL);
	/* Synchronous ones cannot be held back: blocked, they would only kill without a trace. */
	sigdelset(&set, SIGSEGV);
	sigdelset(&set, SIGBUS);
	sigdelset(&set, SIGILL);
	sigdelset(&set, SIGFPE);
	sigdelset(&set, SIGSYS);
	sigdelset(&set, SIGTRAP);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
}

/* True: it is dead from now on. A guest must not run on a thread that may do everything. */
static bool take_turn(struct vcpu *vcpu, int entered, const struct error *err)
{
	if (entered == 0)
		return run_guest(vcpu) == VCPU_DEAD;
	vcpu_tell_crash(vcpu, err);
	return true;
}

void *vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	struct error err = ERROR_INIT;
	char name[16];
	int entered;

	snprintf(name, sizeof(name), "vcpu%u", vcpu->index);
	pthread_setname_np(pthread_self(), name);
	take_kicks_only();
	entered = loop_enter_thread(vcpu->set->params.loop, "vcpu", &err);
	if (entered < 0)
		error_prefix(&err, "vCPU %u: ", vcpu->index);
	while (wait_turn(vcpu)) {
		if (take_turn(vcpu, entered, &err)) {
			pthread_mutex_lock(&vcpu->set->lock);
			vcpu->dead = true;
			pthread_mutex_unlock(&vcpu->set->lock);
		}
	}
	return NULL;
}
