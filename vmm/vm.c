/* SPDX-License-Identifier: Apache-2.0 */
/* Birth and end of a VM, and what its guest asks for. */
#include "vmm/vm.h"

#include <stdio.h>

#include "base/log.h"
#include "base/util.h"
#include "luo/agent.h"
#include "vmm/cli.h"
#include "vmm/guest_memory_prefault.h"
#include "vmm/vm_priv.h"

void vm_raise(struct vm *vm, unsigned int pending)
{
	static const struct error ended = {
		.code = -ECANCELED,
		.message =
			"the guest was switched off or restarted, or crashed, at the same moment"};

	vm->pending |= pending;
	/* An update that has not come to its point of no return gives way. */
	if ((pending & (VM_PENDING_RESET | VM_PENDING_POWEROFF | VM_PENDING_CRASH)) &&
	    update_cancel(vm->update, ended.code, ended.message))
		steps_stop_waiting(vm->steps, &ended);
	loop_timer_arm(vm->timer, 0, 0);
}

void vm_look_again(struct vm *vm)
{
	if (vm->pending)
		loop_timer_arm(vm->timer, 0, 0);
}

void vm_end(struct vm *vm, int exit_code, const char *reason)
{
	if (vm->over)
		return;
	vm->over = true;
	vm->pending = 0;
	vm->callbacks->exit(vm->opaque, exit_code, reason);
}

/* what: a word for programs; the rest is for the operator, who may have nothing but luod's log. */
static void end_by_fault(struct vm *vm, const char *what, const struct error *err)
{
	char reason[AGENT_REASON_MAX];

	snprintf(reason, sizeof(reason), "%s: %s", what, error_message(err));
	vm_end(vm, EXIT_CODE_FAILURE, reason);
}

static void tell_news(struct vm *vm)
{
	struct device_news news;

	while (vm->parts.machine && machine_take_news(vm->parts.machine, &news)) {
		if (news.kind == DEVICE_NEWS_GONE)
			vm_config_changed(vm);
		if (vm->callbacks->device)
			vm->callbacks->device(vm->opaque, &news);
	}
}

/* Noted here, dealt with in a turn of its own. */
static void on_machine_event(void *opaque, enum machine_event event, const struct error *err)
{
	struct vm *vm = opaque;

	switch (event) {
	case MACHINE_EVENT_ALL_VCPUS_RAN:
		vm_raise(vm, VM_PENDING_RAN);
		break;
	case MACHINE_EVENT_DEVICE_GONE:
		vm_raise(vm, VM_PENDING_DEVICE_GONE);
		break;
	case MACHINE_EVENT_DEVICE_NEWS:
		tell_news(vm);
		break;
	case MACHINE_EVENT_RESET:
		vm_raise(vm, VM_PENDING_RESET);
		break;
	case MACHINE_EVENT_POWEROFF:
		vm->reason = "poweroff";
		vm_raise(vm, VM_PENDING_POWEROFF);
		break;
	case MACHINE_EVENT_CRASHED:
		vm->crash = *err;
		vm_raise(vm, VM_PENDING_CRASH);
		break;
	default:
		break;
	}
}

static void tell_consoles(const struct machine *machine)
{
	log_info("console: %s", machine_console(machine));
	if (machine_hvc(machine))
		log_info("hvc: %s", machine_hvc(machine));
}

/* again: what the old memory took may still be on its way back to the host. */
static int make_ram(const struct vm_config *config, bool again, struct guest_ram **ret,
		    struct error *err)
{
	int r = guest_ram_create(config->memory, &config->growth, ret, err);

	if (r < 0 || !config->prefault)
		return r;
	if (again)
		guest_ram_prefault_again(*ret);
	else
		r = guest_ram_prefault(guest_ram_region(*ret, 0), guest_ram_region_count(*ret),
				       err);
	if (r < 0)
		guest_ram_free(*ret);
	return r;
}

static int boot(struct vm *vm, bool again, struct error *err)
{
	struct vm_parts *p = &vm->parts;
	struct guest_ram *ram;
	int r;

	vm_config_decide(&p->config);
	vm_config_fold_memory(&p->config);
	r = vm_parts_confine(p, false, err);
	if (r == 0)
		r = make_ram(&p->config, again, &ram, err);
	if (r == 0)
		r = machine_build(&p->config, p->loop, ram, NULL, on_machine_event, vm, &p->machine,
				  err);
	if (r == 0)
		r = machine_boot(p->machine, err);
	if (r == 0)
		r = vm_parts_confine(p, true, err);
	if (r == 0)
		r = machine_start(p->machine, err);
	if (r < 0) {
		machine_free(p->machine);
		p->machine = NULL;
		return r;
	}
	tell_consoles(p->machine);
	return 0;
}

int vm_boot(struct vm *vm, struct error *err)
{
	return boot(vm, false, err);
}

static void reset(struct vm *vm)
{
	struct error err = ERROR_INIT;

	log_info("the guest is reset");
	vm_parts_learn(&vm->parts);
	machine_free(vm->parts.machine);
	vm->parts.machine = NULL;
	vm->parts.held = false;
	/* What the old machine still had to say died with it. */
	vm->pending = 0;
	if (boot(vm, true, &err) < 0) {
		log_error("reset: %s", error_message(&err));
		end_by_fault(vm, "reset-failed", &err);
	}
}

/* An update is under way: either it waits for this very event, or it is in the way of it. */
static void deal_while_busy(struct vm *vm)
{
	const unsigned int guest_asks = VM_PENDING_RESET | VM_PENDING_POWEROFF;

	if (vm->pending & VM_PENDING_DEVICE_GONE) {
		vm->pending &= ~(unsigned int)VM_PENDING_DEVICE_GONE;
		steps_device_gone(vm->steps);
		vm_look_again(vm);
		return;
	}
	if (vm->pending & VM_PENDING_CRASH) {
		struct error err = vm->crash;

		/* If this was the first run of a resumed guest, the machine is gone now and the
		 * preserved files are still held. */
		update_step_done(vm->update, UPDATE_STEP_RUN, err.code, &err);
		if (!vm->parts.machine)
			vm->pending = 0;
	} else if (vm->pending & (VM_PENDING_RAN | guest_asks)) {
		/* A guest that asks for something has run. */
		vm->pending &= ~(unsigned int)VM_PENDING_RAN;
		update_step_done(vm->update, UPDATE_STEP_RUN, 0, NULL);
	}
}

static void after_abort(void *opaque, int result _unused_, const struct error *err _unused_)
{
	vm_look_again(opaque);
}

static void deal_with_pending(void *opaque)
{
	struct vm *vm = opaque;

	if (update_is_busy(vm->update)) {
		deal_while_busy(vm);
		return;
	}
	vm->pending &= ~(unsigned int)(VM_PENDING_RAN | VM_PENDING_DEVICE_GONE);
	if (!vm->pending || vm->over || update_phase(vm->update) == UPDATE_FROZEN)
		return;
	if (vm->pending & VM_PENDING_CRASH) {
		log_error("the guest cannot go on: %s", error_message(&vm->crash));
		end_by_fault(vm, "crash", &vm->crash);
	} else if (vm->pending & VM_PENDING_POWEROFF) {
		log_info("the guest is off (%s)", vm->reason);
		vm_end(vm, EXIT_CODE_OK, vm->reason);
	} else if (update_phase(vm->update) == UPDATE_PREPARED) {
		/* What is prepared is the RAM of the machine that goes away. */
		log_info("the guest restarts: what was prepared is given up");
		update_request(vm->update, UPDATE_ABORT, after_abort, vm, NULL);
	} else {
		reset(vm);
	}
}

static void on_phase(void *opaque, enum update_phase phase)
{
	struct vm *vm = opaque;

	log_info("phase %s", update_phase_name(phase));
	if (phase == UPDATE_LOADED)
		tell_consoles(vm->parts.machine);
	/* What the machine that was given up had still to say died with it. */
	if (phase == UPDATE_RELEASED)
		vm->pending = 0;
	vm_look_again(vm);
	vm->callbacks->phase(vm->opaque, phase);
}

int vm_new(const struct vm_config *config, bool resume, json_t *overrides, struct loop *loop,
	   const struct vm_callbacks *callbacks, void *opaque, struct vm **ret, struct error *err)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return error_set(err, -ENOMEM, "VM %s: out of memory", config->id);
	vm->parts = (struct vm_parts){
		.loop = loop,
		.config = *config,
		.overrides = overrides,
		.on_event = on_machine_event,
		.on_event_opaque = vm,
		.confine = callbacks->confine,
		.confine_opaque = opaque,
	};
	vm->callbacks = callbacks;
	vm->opaque = opaque;
	r = loop_timer_new(loop, deal_with_pending, vm, &vm->timer, err);
	if (r == 0)
		r = steps_new(&vm->parts, &vm->steps, err);
	if (r == 0)
		r = update_new(loop, resume ? UPDATE_WAITING : UPDATE_RUNNING, &update_real_steps,
			       vm->steps, on_phase, vm, &vm->update, err);
	if (r < 0) {
		steps_free(vm->steps);
		loop_timer_free(vm->timer);
		free(vm);
		return r;
	}
	steps_set_update(vm->steps, vm->update);
	*ret = vm;
	return 0;
}

void vm_free(struct vm *vm)
{
	static const struct error ending = {.code = -ECANCELED, .message = "vmm ends"};

	if (!vm)
		return;
	vm->over = true;
	/* Work that is under way ends by itself; it must not find its VM gone. */
	update_cancel(vm->update, ending.code, ending.message);
	while (update_is_busy(vm->update)) {
		update_step_done(vm->update, UPDATE_STEP_RUN, ending.code, &ending);
		steps_stop_waiting(vm->steps, &ending);
		if (update_is_busy(vm->update) && loop_run_once(vm->parts.loop, 100) < 0)
			break;
	}
	machine_free(vm->parts.machine);
	update_free(vm->update);
	steps_free(vm->steps);
	loop_timer_free(vm->timer);
	free(vm);
}
