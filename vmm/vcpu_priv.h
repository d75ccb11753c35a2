/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOLDFAST_VMM_VCPU_PRIV_H
#define HOLDFAST_VMM_VCPU_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "vmm/vcpu.h"

struct vcpu {
	struct vcpu_set *set;
	unsigned int index;
	struct kvm_run *run; /* of the backend; KVM reads immediate_exit while others write it */
	size_t run_size;
	pthread_t thread;
	atomic_bool ran; /* since the last start */
	/* Under the set's lock. */
	bool parked;
	bool dead; /* shut down or crashed: never runs again */
};

struct vcpu_set {
	struct vcpu_set_params params;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* CLOCK_MONOTONIC */
	/* Written under the lock; vCPU threads look without it when KVM_RUN was interrupted. */
	atomic_bool hold; /* vCPUs have to park */
	bool quit;	  /* threads have to end; under the lock */
	bool crashed;	  /* one did: the others must not go on; under the lock */
	unsigned int parked;
	unsigned int threads; /* made so far */
	atomic_uint unproven; /* vCPUs that have not run since the last start */
	struct vcpu vcpus[];
};

/* What the thread does after an exit. */
enum vcpu_verdict {
	VCPU_RUN_ON,
	VCPU_DEAD,
};

/* vcpu_exit.c: serves the exit in vcpu->run; tells the event of a deadly one. */
enum vcpu_verdict vcpu_handle_exit(struct vcpu *vcpu);
/* Stops all vCPUs and tells it. */
void vcpu_tell_crash(struct vcpu *vcpu, const struct error *err);

/* vcpu.c: asks all to come out of the guest. Lock held. */
void vcpu_kick_all(struct vcpu_set *set);

/* vcpu_thread.c */
void *vcpu_thread(void *arg); /* struct vcpu */
/* From the next KVM_RUN on, and the one under way, KVM comes back at once; or no more. */
void vcpu_set_immediate_exit(struct vcpu *vcpu, bool on);

#endif
