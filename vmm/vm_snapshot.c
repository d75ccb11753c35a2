/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest into a file and out of it again: the edges of an update, with a file on a disk in the
 * place of a session. It stands still from the freeze until all of its memory is on the disk.
 */
#include <sys/stat.h>

#include "base/log.h"
#include "base/util.h"
#include "vmm/vm_priv.h"

static void aborted(void *opaque, int result _unused_, const struct error *err _unused_)
{
	struct vm *vm = opaque;
	struct error why = vm->snapshot_error;

	vm_answer(vm, why.code, &why);
}

/* The guest goes on; why: NULL after a success. */
static void go_back(struct vm *vm, const struct error *why)
{
	struct error err = ERROR_INIT;

	error_clear(&vm->snapshot_error);
	if (why)
		vm->snapshot_error = *why;
	if (update_request(vm->update, UPDATE_ABORT, aborted, vm, &err) < 0)
		vm_answer(vm, err.code, &err);
}

static void stored(void *opaque, int result, const struct error *err)
{
	struct vm *vm = opaque;

	if (result < 0)
		go_back(vm, err);
	else if (vm->snapshot_stays)
		vm_answer(vm, 0, NULL);
	else
		go_back(vm, NULL);
}

static void frozen(void *opaque, int result, const struct error *err)
{
	struct vm *vm = opaque;
	struct error why = ERROR_INIT;

	if (result < 0)
		go_back(vm, err);
	else if (update_request(vm->update, UPDATE_STORE, stored, vm, &why) < 0)
		go_back(vm, &why);
}

static void prepared(void *opaque, int result, const struct error *err)
{
	struct vm *vm = opaque;
	struct error why = ERROR_INIT;

	if (result < 0)
		vm_answer(vm, result, err);
	else if (update_request(vm->update, UPDATE_FREEZE, frozen, vm, &why) < 0)
		go_back(vm, &why);
}

/* What there is of guest memory now; holes take no room. */
static uint64_t bytes_in_use(struct machine *machine)
{
	const struct guest_ram *ram = machine_ram(machine);
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < guest_ram_region_count(ram); i++) {
		struct stat st;

		if (fstat(guest_ram_region(ram, i)->fd, &st) == 0)
			bytes += (uint64_t)st.st_blocks * 512;
	}
	return bytes + machine_state_size_max(machine);
}

/* Makes the snapshot the source of what follows; takes the descriptor. */
static int use_file(struct vm *vm, int snapshot_fd, uint64_t need, struct error *err)
{
	_cleanup_fd_ int fd = snapshot_fd;
	const char *id = vm->parts.config.id;
	struct source *source;
	int r;

	if (fd < 0)
		return error_set(err, -EINVAL, "VM %s: no file was passed for its snapshot", id);
	r = source_snapshot_new(id, steal_fd(&fd), need, &source, err);
	if (r == 0)
		steps_set_source(vm->steps, source);
	return r;
}

int vm_request_snapshot(struct vm *vm, const struct vm_request *request, vm_done_fn *done,
			void *opaque, struct error *err)
{
	_cleanup_fd_ int fd = request->session_fd;
	int r = update_can(vm->update, UPDATE_PREPARE, err);

	if (r == 0)
		r = use_file(vm, steal_fd(&fd), bytes_in_use(vm->parts.machine), err);
	if (r < 0)
		return r;
	vm->own_session = false;
	vm->snapshot_stays = request->caller == VM_CALLER_AGENT;
	steps_set_freeze_timeout(vm->steps, request->timeout_ms ? request->timeout_ms
								: FREEZE_TIMEOUT_MS_DEFAULT);
	return vm_start_edge(vm, UPDATE_PREPARE, prepared, done, opaque, err);
}

int vm_request_restore(struct vm *vm, const struct vm_request *request, vm_done_fn *done,
		       void *opaque, struct error *err)
{
	_cleanup_fd_ int fd = request->session_fd;
	int r = vm_refuse_beside_agent(vm, request, err);

	if (r == 0)
		r = update_can(vm->update, UPDATE_RESUME, err);
	if (r == 0)
		r = use_file(vm, steal_fd(&fd), 0, err);
	if (r < 0)
		return r;
	vm->own_session = request->caller == VM_CALLER_USER;
	return vm_start_edge(vm, UPDATE_RESUME, vm_resumed, done, opaque, err);
}
