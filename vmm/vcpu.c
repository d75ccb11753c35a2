/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vcpu.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/util.h"
#include "vmm/vcpu_priv.h"

static void on_kick(int signo _unused_)
{
}

/* The signal must have a handler, or it would end the process; no SA_RESTART: KVM_RUN must return.
 */
static int install_kick(struct error *err)
{
	struct sigaction action = {.sa_handler = on_kick};
	sigset_t kick;
	int r;

	sigemptyset(&action.sa_mask);
	if (sigaction(VCPU_KICK_SIGNAL, &action, NULL) < 0)
		return error_sys(err, -errno, "cannot set up the vCPUs' signal");
	sigemptyset(&kick);
	sigaddset(&kick, VCPU_KICK_SIGNAL);
	r = pthread_sigmask(SIG_BLOCK, &kick, NULL);
	return r ? error_sys(err, -r, "cannot block the vCPUs' signal") : 0;
}

static void init_sync(struct vcpu_set *set)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&set->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&set->changed, &attr);
	pthread_condattr_destroy(&attr);
}

int vcpu_set_new(const struct vcpu_set_params *params, struct vcpu_set **ret, struct error *err)
{
	struct vcpu_set *set = calloc(1, sizeof(*set) + params->count * sizeof(set->vcpus[0]));
	int r;

	if (!set)
		return error_set(err, -ENOMEM, "out of memory for %u vCPUs", params->count);
	set->params = *params;
	set->params.count = 0; /* made so far */
	atomic_store(&set->hold, true);
	init_sync(set);
	r = install_kick(err);
	for (unsigned int i = 0; r == 0 && i < params->count; i++) {
		struct vcpu *vcpu = &set->vcpus[i];

		vcpu->set = set;
		vcpu->index = i;
		r = params->ops->create(params->backend, i, &vcpu->run, &vcpu->run_size, err);
		if (r == 0)
			set->params.count++;
	}
	if (r < 0) {
		vcpu_set_free(set);
		return r;
	}
	*ret = set;
	return 0;
}

void vcpu_kick_all(struct vcpu_set *set)
{
	for (unsigned int i = 0; i < set->threads; i++) {
		vcpu_set_immediate_exit(&set->vcpus[i], true);
		pthread_kill(set->vcpus[i].thread, VCPU_KICK_SIGNAL);
	}
}

static void end_threads(struct vcpu_set *set)
{
	pthread_mutex_lock(&set->lock);
	set->quit = true;
	atomic_store(&set->hold, true);
	vcpu_kick_all(set);
	pthread_cond_broadcast(&set->changed);
	pthread_mutex_unlock(&set->lock);
	for (unsigned int i = 0; i < set->threads; i++)
		pthread_join(set->vcpus[i].thread, NULL);
	set->threads = 0;
}

void vcpu_set_free(struct vcpu_set *set)
{
	if (!set)
		return;
	end_threads(set);
	for (unsigned int i = 0; i < set->params.count; i++)
		set->params.ops->destroy(set->params.backend, i);
	pthread_cond_destroy(&set->changed);
	pthread_mutex_destroy(&set->lock);
	free(set);
}

static int make_threads(struct vcpu_set *set, struct error *err)
{
	while (set->threads < set->params.count) {
		struct vcpu *vcpu = &set->vcpus[set->threads];
		int r = pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);

		if (r)
			return error_sys(err, -r, "vCPU %u: cannot make its thread", vcpu->index);
		set->threads++;
	}
	return 0;
}

/* Lets all go, unless one crashed. Lock held; a vCPU that is still on its way to park finds the way
 * open. */
static void release_all(struct vcpu_set *set)
{
	if (set->crashed)
		return;
	for (unsigned int i = 0; i < set->params.count; i++)
		vcpu_set_immediate_exit(&set->vcpus[i], false);
	atomic_store(&set->hold, false);
	pthread_cond_broadcast(&set->changed);
}

int vcpu_set_start(struct vcpu_set *set, struct error *err)
{
	int r;

	if (vcpu_set_is_running(set))
		return 0;
	r = make_threads(set, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&set->lock);
	atomic_store(&set->unproven, set->params.count);
	for (unsigned int i = 0; i < set->params.count; i++)
		atomic_store(&set->vcpus[i].ran, false);
	release_all(set);
	pthread_mutex_unlock(&set->lock);
	return 0;
}

/* The first that did not park, for the message. Lock held. */
static unsigned int find_stuck(const struct vcpu_set *set)
{
	for (unsigned int i = 0; i < set->threads; i++) {
		if (!set->vcpus[i].parked)
			return i;
	}
	return 0;
}

int vcpu_set_pause(struct vcpu_set *set, unsigned int timeout_ms, struct error *err)
{
	uint64_t end_ns = clock_monotonic_ns() + timeout_ms * NSEC_PER_MSEC;
	struct timespec end = {.tv_sec = (time_t)(end_ns / NSEC_PER_SEC),
			       .tv_nsec = (long)(end_ns % NSEC_PER_SEC)};
	int r = 0, waited = 0;

	pthread_mutex_lock(&set->lock);
	atomic_store(&set->hold, true);
	vcpu_kick_all(set);
	while (set->parked < set->threads && waited == 0)
		waited = pthread_cond_timedwait(&set->changed, &set->lock, &end);
	if (set->parked < set->threads) {
		r = error_set(err, -ETIMEDOUT,
			      "vCPU %u did not stop within %u ms: the host is overloaded, or its "
			      "thread hangs in the kernel; all vCPUs run on",
			      find_stuck(set), timeout_ms);
		release_all(set);
	}
	pthread_mutex_unlock(&set->lock);
	return r;
}

bool vcpu_set_is_running(const struct vcpu_set *set)
{
	return !atomic_load(&set->hold);
}

unsigned int vcpu_set_nudge(struct vcpu_set *set)
{
	unsigned int watched = 0;

	for (unsigned int i = 0; i < set->threads; i++) {
		if (atomic_load(&set->vcpus[i].ran))
			continue;
		watched++;
		pthread_kill(set->vcpus[i].thread, VCPU_KICK_SIGNAL);
	}
	return watched;
}
