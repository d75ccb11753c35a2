/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/program.h"

#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "vmm/program_priv.h"

int program_open_doors(struct program *p, struct error *err)
{
	const struct vm_config *config = p->vm ? vm_config(p->vm) : &p->created;
	int r = 0;

	if (config->api_socket[0] && !p->api)
		r = api_new(p->loop, config->api_socket, &program_backend, p, &p->api, err);
	if (r == 0 && config->agent[0] && p->vm && !p->agent)
		r = agent_new(p->vm, p->loop, config->agent, &p->agent, err);
	return r;
}

/* ---- What the VM tells. ---- */

static void on_phase(void *opaque, enum update_phase phase)
{
	struct program *p = opaque;
	struct error err = ERROR_INIT;

	/* Only now a resumed VM's configuration is known. The guest matters more than its doors. */
	if (phase == UPDATE_LOADED && program_open_doors(p, &err) < 0)
		log_error("%s", error_message(&err));
	/* Its socket's path is for the vmm that goes on with the guest. */
	if (phase == UPDATE_RELEASED && p->api) {
		api_quiesce(p->api);
		api_free(STEAL_PTR(p->api));
	}
	agent_phase_changed(p->agent, phase);
	manager_on_phase(&p->manager, phase, vm_session(p->vm));
}

static void on_config(void *opaque)
{
	const struct program *p = opaque;

	agent_config_changed(p->agent);
}

static void on_device(void *opaque, const struct device_news *news)
{
	const struct program *p = opaque;

	agent_say_device(p->agent, news);
}

static void on_exit_of_vm(void *opaque, int exit_code, const char *reason)
{
	struct program *p = opaque;

	agent_say_exit(p->agent, reason);
	/* It was asked for by the API, which may boot it again, or make another. */
	if (p->cli->empty && strcmp(reason, "quit") != 0) {
		loop_timer_arm(p->vm_ended, 0, 0);
		return;
	}
	p->exit_code = exit_code;
	p->over = true;
	loop_stop(p->loop);
}

static int on_confine(void *opaque, const struct vm_config *config, bool last, struct error *err)
{
	struct program *p = opaque;
	int r = confine_enter(&p->confine, config, last, err);

	if (r == 0 && p->confine.entered)
		loop_set_guard(p->loop, &p->confine.guard);
	return r;
}

static const struct vm_callbacks callbacks = {
	.phase = on_phase,
	.config = on_config,
	.device = on_device,
	.exit = on_exit_of_vm,
	.confine = on_confine,
};

/* ---- Signals. ---- */

static int ask(struct program *p, enum vm_verb verb, vm_done_fn *done)
{
	const struct vm_request request = {
		.verb = verb, .caller = VM_CALLER_USER, .session_fd = FD_NONE};
	struct error err = ERROR_INIT;
	int r = vm_request(p->vm, &request, done, p, &err);

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

	if (!p->vm) {
		if (signo == SIGTERM || signo == SIGINT)
			loop_stop(p->loop);
		return;
	}
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

/* A service is started in one way: whether the VM boots or is taken up, the session tells. */
static int make_first_vm(struct program *p, struct error *err)
{
	const struct cli *cli = p->cli;
	struct vm_config only_id;
	int r = 0;

	p->resume = cli->resume;
	if (!p->resume && !cli->config.agent[0])
		r = manager_has_vm(&p->manager, &p->resume, err);
	if (r < 0)
		return r;
	vm_config_init(&only_id);
	memcpy(only_id.id, cli->config.id, sizeof(only_id.id));
	return program_make_vm(p, p->resume && !cli->resume ? &only_id : &cli->config, p->resume,
			       cli->overrides, err);
}

static int boot(struct program *p, struct error *err)
{
	int r = p->cli->empty ? 0 : vm_boot(p->vm, err);

	if (r == 0)
		manager_on_phase(&p->manager, UPDATE_RUNNING, FD_NONE);
	return r;
}

static int begin(struct program *p, struct error *err)
{
	struct vm_request resume = {.verb = VM_RESUME_PRESERVED, .session_fd = FD_NONE};
	const struct cli *cli = p->cli;
	int r;

	if (cli->restore[0])
		return program_restore(p, cli->restore, cli->config.id, cli->overrides, resume_done,
				       p, err);
	r = cli->empty ? 0 : make_first_vm(p, err);
	if (r == 0)
		r = program_open_doors(p, err);
	if (r < 0)
		return r;
	if (!p->resume)
		return boot(p, err);
	if (p->agent)
		return 0;
	resume.session_fd = manager_take_session(&p->manager);
	return vm_request(p->vm, &resume, resume_done, p, err);
}

int program_make_vm(struct program *p, const struct vm_config *config, bool resume,
		    json_t *overrides, struct error *err)
{
	int r = vm_new(config, resume, overrides, p->loop, &callbacks, p, &p->vm, err);

	if (r == 0)
		r = shutdown_new(p->vm, p->loop, p->cli->shutdown_timeout, &p->shutdown, err);
	if (r < 0)
		program_drop_vm(p);
	return r;
}

void program_drop_vm(struct program *p)
{
	shutdown_free(STEAL_PTR(p->shutdown));
	/* Requests that are under way end here, and are answered. */
	vm_free(STEAL_PTR(p->vm));
	agent_free(STEAL_PTR(p->agent));
}

static void on_vm_ended(void *opaque)
{
	struct program *p = opaque;

	if (p->vm)
		program_drop_vm(p);
	if (p->forget)
		p->has_created = p->forget = false;
}

static int set_up(struct program *p, struct error *err)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, -1};
	int r;

	p->created = p->cli->config;
	r = loop_new(&p->loop, err);
	if (r == 0)
		r = manager_start(&p->manager, p->loop, err);
	if (r == 0)
		r = loop_add_signals(p->loop, signals, on_signal, p, err);
	if (r == 0)
		r = loop_timer_new(p->loop, on_vm_ended, p, &p->vm_ended, err);
	return r;
}

static void tear_down(struct program *p)
{
	api_quiesce(p->api);
	program_drop_vm(p);
	api_free(p->api);
	manager_done(&p->manager);
	loop_timer_free(p->vm_ended);
	loop_free(p->loop);
}

/* Whether a VM that the command line does not describe may be made. */
static bool config_comes_later(const struct program *p)
{
	return p->cli->resume || p->cli->restore[0] || p->cli->empty || p->manager.session_fd >= 0;
}

int program_run(const struct cli *cli, int log_fd)
{
	struct program p = {.exit_code = EXIT_CODE_FAILURE, .cli = cli};
	struct error err = ERROR_INIT;
	int r;

	signal(SIGPIPE, SIG_IGN);
	manager_init(&p.manager);
	r = confine_begin(&cli->config, config_comes_later(&p), log_fd, p.manager.session_fd, &err);
	if (r == 0)
		r = set_up(&p, &err);
	if (r == 0)
		r = begin(&p, &err);
	if (r < 0) {
		log_error("%s", error_message(&err));
	} else if (!p.over) {
		p.exit_code = cli->empty ? EXIT_CODE_OK : p.exit_code;
		r = loop_run(p.loop);
		if (r < 0)
			log_error("event loop: %s", strerror(-r));
	}
	tear_down(&p);
	return p.exit_code;
}
