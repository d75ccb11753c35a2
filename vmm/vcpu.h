/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vCPUs of one machine: a thread each that runs KVM_RUN and serves its exits, and the ways to
 * start and stop them all. Knows no architecture: what a vCPU's registers hold is set through its
 * descriptor while the vCPUs are stopped.
 *
 * Stopping works without a sleep and without a lost kick: kvm_run.immediate_exit is set before the
 * signal VCPU_KICK_SIGNAL is sent, so a vCPU that is in the guest is thrown out by the signal, and
 * one that is on the way into it does not enter (Linux Documentation/virt/kvm/api.rst, struct
 * kvm_run). A vCPU stops only when KVM_RUN says EINTR: by then KVM has completed the register
 * access that the vCPU's last exit was about, so that its state is whole (ibid., "KVM_EXIT_IO ...
 * the corresponding operations are complete only after userspace has re-entered the kernel").
 */
#ifndef HOLDFAST_VMM_VCPU_H
#define HOLDFAST_VMM_VCPU_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "vmm/bus.h"
#include "vmm/machine.h"

/* Its handler does nothing. Blocked in every thread but those of vCPUs. */
#define VCPU_KICK_SIGNAL SIGRTMIN

struct kvm_run;
struct loop;
struct vcpu_set;

/*
 * What happened, told on the vCPU's thread. RESET: triple fault, or KVM was asked to. POWEROFF.
 * CRASHED: err says why, and all vCPUs stop by themselves. The vCPU that told runs no more.
 * ALL_VCPUS_RAN: see vcpu_set_nudge().
 */
typedef void vcpu_event_fn(void *opaque, enum machine_event event, const struct error *err);

/* KVM itself; unit tests put something else in its place. */
struct vcpu_ops {
	/* Makes vCPU `index`: its kvm_run of *ret_run_size bytes. */
	int (*create)(void *backend, unsigned int index, struct kvm_run **ret_run,
		      size_t *ret_run_size, struct error *err);
	void (*destroy)(void *backend, unsigned int index);
	/* KVM_RUN: 0 or -errno. */
	int (*run)(void *backend, unsigned int index);
	/* Has this vCPU ever been in the guest, or is it waiting to be woken (halted, or an AP that
	 * was not started)? */
	bool (*entered)(void *backend, unsigned int index);
};

struct vcpu_set_params {
	unsigned int count;
	struct bus *ports; /* borrowed, as mmio */
	struct bus *mmio;
	vcpu_event_fn *on_event;
	void *opaque;
	const struct vcpu_ops *ops;
	void *backend;	   /* for ops; borrowed */
	struct loop *loop; /* whose guard lets its threads in, as "vcpu"; NULL: none */
};

/* Makes the vCPUs, stopped, without threads. All functions here belong to the loop's thread. */
int vcpu_set_new(const struct vcpu_set_params *params, struct vcpu_set **ret, struct error *err);
void vcpu_set_free(struct vcpu_set *set); /* stops and joins; NULL is fine */

/* Starts or continues all. Threads are made at the first call. */
int vcpu_set_start(struct vcpu_set *set, struct error *err);

/* 0: all have stopped. -ETIMEDOUT: one, which is named, did not; all run on. */
int vcpu_set_pause(struct vcpu_set *set, unsigned int timeout_ms, struct error *err);
bool vcpu_set_is_running(const struct vcpu_set *set);

/*
 * Since vcpu_set_start() each vCPU is watched until it has run: KVM_RUN gave an exit to serve, or
 * was interrupted after the vCPU had been in the guest (or was found waiting to be woken). When the
 * last one has, MACHINE_EVENT_ALL_VCPUS_RAN is told. A vCPU that spins or sleeps in the guest makes
 * no exit by itself, so the owner nudges now and then: this sends the signal, without stopping, to
 * those that are still watched. Returns how many those are.
 */
unsigned int vcpu_set_nudge(struct vcpu_set *set);

#endif
