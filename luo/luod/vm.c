/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/vm.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "luo/luod/adopt.h"
#include "luo/luod/events.h"
#include "luo/luod/lifecycle.h"
#include "luo/luod/peer.h"

/* How long a vmm may take over what luod asks by itself, outside an update. */
#define TELL_DEADLINE_MS 30000U

static void end_request(struct vm *vm, int result, struct error *err)
{
	vm_reply_fn *fn = vm->request.fn;
	void *opaque = vm->request.opaque;

	/* Over before the call: fn may ask the next thing. */
	vm->request.active = false;
	loop_timer_disarm(vm->timer);
	fn(vm, result, err, opaque);
}

static void on_deadline(void *opaque)
{
	struct vm *vm = opaque;
	struct error err = ERROR_INIT;

	if (!vm->request.active)
		return;
	error_set(&err, -ETIMEDOUT,
		  "vm %s: its vmm (pid %d) did not answer \"%s\" in time; look at its log",
		  vm->record->id, vm->record->pid, agent_verb_name(vm->request.verb));
	end_request(vm, -ETIMEDOUT, &err);
}

static void on_no_hello(void *opaque)
{
	lifecycle_on_no_hello(opaque);
}

int vm_attach(struct luod *luod, struct vm_record *record, struct error *err)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int r;

	if (!vm)
		return error_set(err, -ENOMEM, "vm %s: out of memory", record->id);
	*vm = (struct vm){.luod = luod,
			  .record = record,
			  .session_fd = FD_NONE,
			  .pid_fd = FD_NONE,
			  .snapshot = NEW_FILE_INIT,
			  .next_seq = 1};
	r = loop_timer_new(luod->loop, on_deadline, vm, &vm->timer, err);
	if (r == 0)
		r = loop_timer_new(luod->loop, on_no_hello, vm, &vm->hello_timer, err);
	if (r < 0) {
		loop_timer_free(vm->timer);
		free(vm);
		return r;
	}
	record->vm = vm;
	return 0;
}

int vm_get(struct luod *luod, const char *id, struct vm **ret, struct error *err)
{
	struct vm_record *record = registry_find(&luod->registry, id);
	int r;

	if (record) {
		*ret = record->vm;
		return 0;
	}
	record = registry_add(&luod->registry, id);
	if (!record)
		return error_set(err, -ENOSPC, "vm %s: this host has %u VMs and takes no more", id,
				 luod->registry.vm_count);
	r = vm_attach(luod, record, err);
	if (r < 0) {
		registry_remove(&luod->registry, record);
		return r;
	}
	*ret = record->vm;
	return 0;
}

void vm_forget(struct vm *vm)
{
	struct luod *luod = vm->luod;
	struct vm_record *record = vm->record;

	loop_timer_free(vm->timer);
	loop_timer_free(vm->hello_timer);
	loop_remove_fd(vm->pid_source);
	close_fdp(&vm->pid_fd);
	close_fdp(&vm->session_fd);
	handover_drop(&vm->handover);
	new_file_drop(&vm->snapshot);
	free(vm);
	record->vm = NULL;
	registry_remove(&luod->registry, record);
}

int vm_request_fds(struct vm *vm, const struct agent_request *request, unsigned int deadline_ms,
		   const int *fds, unsigned int fd_count, vm_reply_fn *fn, void *opaque,
		   struct error *err)
{
	struct agent_request numbered = *request;
	json_t *message;
	int r;

	if (!vm->peer)
		return error_set(err, -ENOTCONN,
				 "vm %s: its vmm is not connected; start it, or look why it ended",
				 vm->record->id);
	if (vm->request.active)
		return error_set(err, -EBUSY, "vm %s: its vmm is busy with \"%s\"; try again",
				 vm->record->id, agent_verb_name(vm->request.verb));
	numbered.seq = vm->next_seq++;
	message = agent_request_to_json(&numbered);
	if (!message)
		return error_set(err, -ENOMEM, "vm %s: out of memory", vm->record->id);
	r = peer_send(vm->peer, message, fds, fd_count, err);
	json_decref(message);
	if (r < 0) {
		error_prefix(err, "vm %s: %s: ", vm->record->id, agent_verb_name(request->verb));
		return r;
	}
	vm->request.active = true;
	vm->request.seq = numbered.seq;
	vm->request.verb = request->verb;
	vm->request.fn = fn;
	vm->request.opaque = opaque;
	loop_timer_arm(vm->timer, deadline_ms * NSEC_PER_MSEC, 0);
	return 0;
}

int vm_request(struct vm *vm, const struct agent_request *request, unsigned int deadline_ms,
	       int session_fd, vm_reply_fn *fn, void *opaque, struct error *err)
{
	return vm_request_fds(vm, request, deadline_ms, &session_fd, session_fd >= 0 ? 1 : 0, fn,
			      opaque, err);
}

static void on_told(struct vm *vm, int result, struct error *err, void *opaque _unused_)
{
	if (result < 0)
		log_warning("%s", error_message(err));
	luod_changed(vm->luod);
}

int vm_tell(struct vm *vm, enum agent_verb verb, struct error *err)
{
	struct agent_request request = {.verb = verb};

	return vm_request(vm, &request, TELL_DEADLINE_MS, FD_NONE, on_told, NULL, err);
}

void vm_set_status(struct vm *vm, enum vm_status status)
{
	vm->record->status = status;
	if (status == VM_STARTING || status == VM_CONNECTED)
		vm->record->why[0] = '\0';
	luod_changed(vm->luod);
}

void vm_fail(struct vm *vm, enum vm_status status, const char *why)
{
	vm->record->status = status;
	registry_set_text(vm->record->why, sizeof(vm->record->why), why);
	log_warning("vm %s: %s: %s", vm->record->id, vm_status_name(status), why);
	luod_changed(vm->luod);
}

/* The configuration is the vmm's own document (vmm/config.h), of which no more is known here. */
static bool keeps_devices(json_t *config)
{
	json_t *device;
	size_t i;

	json_array_foreach(json_object_get(config, "device"), i, device)
	{
		const char *policy = json_string_value(json_object_get(device, "policy"));

		if (policy && strcmp(policy, "preserve") == 0)
			return true;
	}
	return false;
}

static void take_hello(struct vm *vm, const struct agent_hello *hello)
{
	struct vm_record *record = vm->record;

	/* The kernel's word counts; 0 is a process that is not visible from here. */
	record->pid = peer_pid(vm->peer) ? peer_pid(vm->peer) : (pid_t)hello->pid;
	record->phase = hello->phase;
	registry_set_text(record->version, sizeof(record->version), hello->version);
	registry_set_text(record->api_socket, sizeof(record->api_socket), hello->api_socket);
	/* A vmm that waits for its session knows none of this yet: keep what is known. */
	if (hello->phase != AGENT_PHASE_WAITING && hello->phase != AGENT_PHASE_ADOPTED) {
		record->preserve = hello->preserve;
		record->memory = hello->memory;
		record->cpus = hello->cpus;
	}
	if (hello->config)
		record->keeps_devices = keeps_devices(hello->config);
	if (hello->tsc_khz)
		vm->luod->registry.tsc_khz = hello->tsc_khz;
}

void vm_on_hello(struct vm *vm, struct peer *peer, const struct agent_hello *hello)
{
	vm->peer = peer;
	vm->went_away = false;
	loop_timer_disarm(vm->hello_timer);
	take_hello(vm, hello);
	peer_read_binary(peer, vm->record->binary, sizeof(vm->record->binary));
	log_info("vm %s: connected (pid %d, %s)", vm->record->id, vm->record->pid,
		 agent_phase_name(hello->phase));
	vm_set_status(vm, VM_CONNECTED);
	lifecycle_on_hello(vm);
	adopt_on_hello(vm->luod, vm);
}

void vm_on_hello_again(struct vm *vm, const struct agent_hello *hello)
{
	take_hello(vm, hello);
	luod_changed(vm->luod);
}

/* Only an export has descriptors, one for each token. */
static void take_fds(struct vm *vm, const struct agent_reply *reply, const int *fds,
		     unsigned int fd_count)
{
	bool wanted = vm->request.active && vm->request.seq == reply->seq &&
		      vm->request.verb == AGENT_EXPORT && fd_count == reply->tokens.count;

	handover_drop(&vm->handover);
	for (unsigned int i = 0; i < fd_count; i++) {
		if (wanted)
			vm->handover.fds[i] = fds[i];
		else
			close(fds[i]);
	}
	if (wanted)
		vm->handover.tokens = reply->tokens;
}

void vm_on_reply(struct vm *vm, const struct agent_reply *reply, const int *fds,
		 unsigned int fd_count)
{
	struct error err = ERROR_INIT;
	int result = reply->ok ? 0 : reply->code;

	if (fd_count)
		take_fds(vm, reply, fds, fd_count);
	vm->record->phase = reply->phase;
	if (reply->has_timeline)
		timeline_merge(&vm->record->timeline, &reply->timeline);
	luod_changed(vm->luod);
	if (!vm->request.active || vm->request.seq != reply->seq) {
		log_warning("vm %s: an answer came too late and is not used", vm->record->id);
		return;
	}
	if (result < 0)
		error_set(&err, result, "vm %s: %s: %s", vm->record->id,
			  agent_verb_name(vm->request.verb),
			  reply->message[0] ? reply->message : strerror(-result));
	end_request(vm, result, &err);
}

static void on_device_event(struct vm *vm, const struct agent_device *device)
{
	/* That it is gone is what was asked for. */
	const enum log_level level =
		device->what == AGENT_DEVICE_GONE ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING;

	log_at(level, "vm %s: device %s%s%s: %s", vm->record->id, device->id,
	       device->host[0] ? " of the host at " : "", device->host, device->message);
	events_add_device(vm->luod->events, vm->record, device);
	luod_changed(vm->luod);
}

void vm_on_event(struct vm *vm, const struct agent_event *event)
{
	switch (event->kind) {
	case AGENT_EVENT_PHASE:
		vm->record->phase = event->phase;
		luod_changed(vm->luod);
		lifecycle_on_phase(vm);
		break;
	case AGENT_EVENT_EXIT:
		log_info("vm %s: ended (%s)", vm->record->id, event->reason);
		vm->record->status = VM_STOPPED;
		registry_set_text(vm->record->why, sizeof(vm->record->why), event->reason);
		luod_changed(vm->luod);
		break;
	case AGENT_EVENT_DEVICE:
		on_device_event(vm, &event->device);
		break;
	}
}

void vm_on_disconnect(struct vm *vm)
{
	struct error err = ERROR_INIT;
	bool is_next = vm->next_of;

	vm->peer = NULL;
	if (vm->record->status == VM_CONNECTED) {
		vm->record->status = VM_DISCONNECTED;
		log_warning("vm %s: its vmm (pid %d) closed the connection", vm->record->id,
			    vm->record->pid);
	}
	luod_changed(vm->luod);
	if (vm->request.active) {
		error_set(
			&err, -EPIPE,
			"vm %s: its vmm (pid %d) went away while asked to \"%s\"; look at its log",
			vm->record->id, vm->record->pid, agent_verb_name(vm->request.verb));
		vm->went_away = true;
		end_request(vm, -EPIPE, &err);
	}
	/* The end of the request may have been the end of the exchange, and of it. */
	if (is_next)
		return;
	lifecycle_on_disconnect(vm);
}
