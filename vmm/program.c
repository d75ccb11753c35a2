/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/program.h"

#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "vmm/agent.h"
#include "vmm/api/server.h"
#include "vmm/shutdown.h"
#include "vmm/vm.h"

struct program {
	struct loop *loop;
	struct vm *vm;
	struct api *api;     /* NULL without --api-socket */
	struct agent *agent; /* NULL without --agent */
	struct shutdown *shutdown;
	int exit_code;
	bool over;
};

/* ---- What the API stands on. ---- */

static json_t *api_info(void *opaque)
{
	struct program *p = opaque;

	return vm_info_json(p->vm);
}

static json_t *api_timeline(void *opaque)
{
	struct program *p = opaque;

	return vm_timeline_json(p->vm);
}

static json_t *api_counters(void *opaque)
{
	struct program *p = opaque;

	return vm_counters_json(p->vm);
}

static json_t *api_balloon_statistics(void *opaque)
{
	struct program *p = opaque;

	return vm_balloon_statistics_json(p->vm);
}

static const char *api_phase(void *opaque)
{
	struct program *p = opaque;

	return update_phase_name(vm_phase(p->vm));
}

static int api_request(void *opaque, enum vm_verb verb, uint32_t timeout_ms, vm_done_fn *done,
		       void *done_opaque, struct error *err)
{
	struct program *p = opaque;
	const struct vm_request request = {
		.verb = verb,
		.caller = VM_CALLER_USER,
		.timeout_ms = timeout_ms,
		.session_fd = FD_NONE,
	};

	return vm_request(p->vm, &request, done, done_opaque, err);
}

static int api_add_devices(void *opaque, json_t *devices, struct error *err)
{
	struct program *p = opaque;
	int r = vm_add_devices(p->vm, devices, err);

	if (r == 0)
		agent_config_changed(p->agent);
	return r;
}

static int api_remove_device(void *opaque, const char *device, struct error *err)
{
	struct program *p = opaque;

	return vm_remove_device(p->vm, device, err);
}

static int api_resize_disk(void *opaque, const char *id, uint64_t size, struct error *err)
{
	struct program *p = opaque;

	return vm_resize_disk(p->vm, id, size, err);
}

static int api_resize_balloon(void *opaque, uint64_t size, struct error *err)
{
	struct program *p = opaque;

	return vm_resize_balloon(p->vm, size, err);
}

static int open_doors(struct program *p, struct error *err);

static int api_adopt(void *opaque, const char *id, const char *agent, struct error *err)
{
	struct program *p = opaque;
	int r;

	if (strcmp(vm_config(p->vm)->id, id) != 0)
		return error_set(err, -EINVAL, "id: this is VM %s", vm_config(p->vm)->id);
	r = vm_set_agent(p->vm, agent, err);
	return r < 0 ? r : open_doors(p, err);
}

static const struct api_backend backend = {
	.info = api_info,
	.timeline = api_timeline,
	.counters = api_counters,
	.balloon_statistics = api_balloon_statistics,
	.phase = api_phase,
	.request = api_request,
	.add_devices = api_add_devices,
	.remove_device = api_remove_device,
	.resize_disk = api_resize_disk,
	.resize_balloon = api_resize_balloon,
	.adopt = api_adopt,
};

/* API and agent as the configuration says; what is there already stays. */
static int open_doors(struct program *p, struct error *err)
{
	const struct vm_config *config = vm_config(p->vm);
	int r = 0;

	if (config->api_socket[0] && !p->api)
		r = api_new(p->loop, config->api_socket, &backend, p, &p->api, err);
	if (r == 0 && config->agent[0] && !p->agent)
		r = agent_new(p->vm, p->loop, config->agent, &p->agent, err);
	return r;
}

/* ---- What the VM tells. ---- */

static void on_phase(void *opaque, enum update_phase phase)
{
	struct program *p = opaque;
	struct error err = ERROR_INIT;

	/* Only now a resumed VM's configuration is known. The guest matters more than its doors. */
	if (phase == UPDATE_LOADED && open_doors(p, &err) < 0)
		log_error("%s", error_message(&err));
	/* Its socket's path is for the vmm that goes on with the guest. */
	if (phase == UPDATE_RELEASED && p->api) {
		api_quiesce(p->api);
		api_free(STEAL_PTR(p->api));
	}
	agent_phase_changed(p->agent, phase);
}

static void on_exit_of_vm(void *opaque, int exit_code, const char *reason)
{
	struct program *p = opaque;

	agent_say_exit(p->agent, reason);
	p->exit_code = exit_code;
	p->over = true;
	loop_stop(p->loop);
}

static const struct vm_callbacks callbacks = {.phase = on_phase, .exit = on_exit_of_vm};

/* ---- Signals. ---- */

static int ask(struct program *p, enum vm_verb verb, vm_done_fn *done)
{
	struct error err = ERROR_INIT;
	int r = api_request(p, verb, 0, done, p, &err);

	if (r < 0)
		log_warning("%s", error_message(&err));
	return r;
}

static void freeze_after_prepare(void *opaque, int result, const struct error *err _unused_)
{
	if (result == 0)
		ask(opaque, VM_FREEZE, NULL);
}

/* SIGUSR2: one step on towards an update, or out of a resume that failed. */
static void go_on(struct program *p)
{
	enum update_phase phase = vm_phase(p->vm);

	if (phase == UPDATE_PREPARED)
		ask(p, VM_FREEZE, NULL);
	else if (phase == UPDATE_FAILED || phase == UPDATE_WAITING || phase == UPDATE_RESUMED)
		ask(p, VM_RESUME_PRESERVED, NULL);
	else
		ask(p, VM_PREPARE, freeze_after_prepare);
}

static void on_signal(void *opaque, int signo)
{
	struct program *p = opaque;

	switch (signo) {
	case SIGUSR1:
		ask(p, VM_ABORT, NULL);
		break;
	case SIGUSR2:
		go_on(p);
		break;
	default:
		shutdown_request(p->shutdown, signo == SIGINT ? "SIGINT" : "SIGTERM");
		break;
	}
}

/* ---- From start to end. ---- */

/* Without an agent nobody tells when to begin; what cannot be taken up ends the process only if it
 * left nothing in its hands. */
static void resume_done(void *opaque, int result, const struct error *err _unused_)
{
	struct program *p = opaque;

	if (result == 0)
		return;
	if (vm_holds_only_copy(p->vm)) {
		log_error("what was preserved is held for another try: SIGUSR2, or "
			  "vm.resume-preserved of the API; vmm.shutdown gives it up");
		return;
	}
	p->exit_code = EXIT_CODE_FAILURE;
	p->over = true;
	loop_stop(p->loop);
}

static int begin(struct program *p, const struct cli *cli, struct error *err)
{
	const struct vm_request resume = {.verb = VM_RESUME_PRESERVED, .session_fd = FD_NONE};
	int r = open_doors(p, err);

	if (r < 0)
		return r;
	if (!cli->resume)
		return vm_boot(p->vm, err);
	if (p->agent)
		return 0;
	return vm_request(p->vm, &resume, resume_done, p, err);
}

static int set_up(struct program *p, const struct cli *cli, struct error *err)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, -1};
	int r;

	r = loop_new(&p->loop, err);
	if (r == 0)
		r = loop_add_signals(p->loop, signals, on_signal, p, err);
	if (r == 0)
		r = vm_new(&cli->config, cli->resume, cli->overrides, p->loop, &callbacks, p,
			   &p->vm, err);
	if (r == 0)
		r = shutdown_new(p->vm, p->loop, cli->shutdown_timeout, &p->shutdown, err);
	return r;
}

static void tear_down(struct program *p)
{
	api_quiesce(p->api);
	shutdown_free(p->shutdown);
	/* Requests that are under way end here, and are answered. */
	vm_free(p->vm);
	agent_free(p->agent);
	api_free(p->api);
	loop_free(p->loop);
}

int program_run(const struct cli *cli)
{
	struct program p = {.exit_code = EXIT_CODE_FAILURE};
	struct error err = ERROR_INIT;
	int r;

	signal(SIGPIPE, SIG_IGN);
	r = set_up(&p, cli, &err);
	if (r == 0)
		r = begin(&p, cli, &err);
	if (r < 0) {
		log_error("%s", error_message(&err));
	} else if (!p.over) {
		r = loop_run(p.loop);
		if (r < 0)
			log_error("event loop: %s", strerror(-r));
	}
	tear_down(&p);
	return p.exit_code;
}
