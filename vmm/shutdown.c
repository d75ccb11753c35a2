/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/shutdown.h"

#include "base/log.h"
#include "base/util.h"

struct shutdown {
	struct vm *vm; /* borrowed */
	unsigned int timeout_s;
	struct loop_timer *deadline; /* owned */
	bool asked;
};

static void force(struct shutdown *s, const char *why)
{
	const struct vm_request off = {.verb = VM_SHUTDOWN, .session_fd = FD_NONE};
	const struct vm_request quit = {.verb = VM_QUIT, .session_fd = FD_NONE};
	struct error err = ERROR_INIT;

	log_warning("%s: the guest is switched off", why);
	/* A guest that cannot be switched off now, for its memory is being given up or finished, is
	 * not running either. */
	if (vm_request(s->vm, &off, NULL, NULL, &err) < 0)
		vm_request(s->vm, &quit, NULL, NULL, NULL);
}

static void deadline_passed(void *opaque)
{
	struct shutdown *s = opaque;

	if (vm_holds_only_copy(s->vm)) {
		log_warning("the guest did not switch itself off before it was frozen");
		s->asked = false;
		return;
	}
	force(s, "the guest did not heed the power button");
}

int shutdown_new(struct vm *vm, struct loop *loop, unsigned int timeout_s, struct shutdown **ret,
		 struct error *err)
{
	struct shutdown *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return error_set(err, -ENOMEM, "shutdown: out of memory");
	*s = (struct shutdown){.vm = vm, .timeout_s = timeout_s};
	r = loop_timer_new(loop, deadline_passed, s, &s->deadline, err);
	if (r < 0) {
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void shutdown_free(struct shutdown *s)
{
	if (!s)
		return;
	loop_timer_free(s->deadline);
	free(s);
}

void shutdown_request(struct shutdown *s, const char *who)
{
	const struct vm_request press = {.verb = VM_POWER_BUTTON, .session_fd = FD_NONE};
	struct error err = ERROR_INIT;

	if (vm_holds_only_copy(s->vm)) {
		log_warning("%s is not heeded: in phase %s this process holds the only copy of the "
			    "guest; SIGUSR1 lets a frozen guest go on, vmm.shutdown of the API "
			    "gives the guest up",
			    who, update_phase_name(vm_phase(s->vm)));
		return;
	}
	if (s->asked || s->timeout_s == 0) {
		force(s, who);
		return;
	}
	/* Where no guest runs there is nobody to ask. */
	if (vm_request(s->vm, &press, NULL, NULL, &err) < 0) {
		force(s, who);
		return;
	}
	log_info("%s: pressed the power button, the guest has %u s to switch itself off", who,
		 s->timeout_s);
	s->asked = true;
	loop_timer_arm(s->deadline, s->timeout_s * NSEC_PER_SEC, 0);
}
