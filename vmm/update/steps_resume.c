/* SPDX-License-Identifier: Apache-2.0 */
/* In the new kernel: from a session to a guest that runs. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "vmm/guest_memory_prefault.h"
#include "vmm/update/steps_priv.h"

int step_take(void *opaque, struct error *err)
{
	struct steps *s = opaque;

	return source_take(s->source, err);
}

/* What the state holds devices for must be there again; only where it leads to may change. */
static int change_config(struct vm_config *config, json_t *overrides, struct error *err)
{
	bool hvc = config->hvc.mode != CONSOLE_OFF;
	int r = vm_config_from_json(overrides, config, err);

	if (r < 0)
		return r;
	if (hvc == (config->hvc.mode != CONSOLE_OFF))
		return 0;
	return error_set(err, -EINVAL,
			 hvc ? "hvc: the preserved VM has one, it cannot be off"
			     : "hvc: the preserved VM has none, it stays off");
}

/* The configuration that was preserved, and what the operator changed of it. */
int steps_read_record(struct steps *s, const struct state_blob *blob, struct record *ret,
		      struct error *err)
{
	int r = record_load(blob, ret, err);

	if (r < 0)
		return r;
	if (strcmp(ret->config.id, s->parts->config.id) != 0)
		return error_set(err, -EINVAL, "the state is of VM %s, not of %s", ret->config.id,
				 s->parts->config.id);
	return s->parts->overrides ? change_config(&ret->config, s->parts->overrides, err) : 0;
}

int steps_read_blob(struct steps *s, int *ret_fd, void **ret_bytes, struct state_blob *ret,
		    struct error *err)
{
	size_t size;
	int r = source_retrieve(s->source, TOKEN_VM_STATE, "state file", ret_fd, err);

	if (r == 0)
		r = state_file_read(*ret_fd, ret_bytes, &size, err);
	if (r == 0)
		r = state_blob_open(*ret_bytes, size, ret, err);
	return r;
}

static int read_config(struct steps *s, const struct state_blob *blob, struct error *err)
{
	struct record record;
	int r = steps_read_record(s, blob, &record, err);

	if (r < 0)
		return r;
	vm_config_keep(&record.config);
	s->config_before = s->parts->config;
	s->parts->config = record.config;
	s->parts->held = record.held;
	for (unsigned int i = 0; i < PASSTHROUGH_SPACES; i++)
		s->kept.spaces[i].ioas = record.ioas[i];
	timeline_merge(s->timeline, &record.timeline);
	return 0;
}

int step_read_state(void *opaque, struct error *err)
{
	struct steps *s = opaque;
	_cleanup_free_ void *bytes = NULL;
	struct state_blob blob;
	int r;

	close_fdp(&s->state_fd);
	r = steps_read_blob(s, &s->state_fd, &bytes, &blob, err);
	if (r == 0)
		r = read_config(s, &blob, err);
	if (r < 0)
		return r;
	s->bytes = STEAL_PTR(bytes);
	s->blob = blob;
	s->read = true;
	return 0;
}

/* When all is over the copy is of no use, but the configuration is the VM's. */
void steps_forget_state(struct steps *s)
{
	free(s->bytes);
	s->bytes = NULL;
	s->blob = (struct state_blob){0};
	s->read = false;
}

void undo_read_state(void *opaque)
{
	struct steps *s = opaque;

	steps_forget_state(s);
	s->parts->config = s->config_before;
	s->parts->held = false;
}

int steps_retrieve_ram(struct steps *s, const struct vm_config *config, struct error *err)
{
	struct guest_memory_layout layout;
	int r;

	r = guest_memory_layout(config->memory, &config->growth, &layout, err);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < layout.count; i++) {
		char what[32];

		snprintf(what, sizeof(what), "guest RAM %u", i);
		r = source_retrieve(s->source, TOKEN_RAM_FIRST + i, what, &s->ram_fds[i], err);
		if (r < 0) {
			undo_read_ram(s);
			return r;
		}
		s->ram_count = i + 1;
	}
	return 0;
}

int step_read_ram(void *opaque, struct error *err)
{
	struct steps *s = opaque;
	int r = steps_retrieve_ram(s, &s->parts->config, err);

	if (r < 0)
		return r;
	r = kept_devices_retrieve(&s->kept, &s->parts->config, s->source, err);
	if (r < 0)
		undo_read_ram(s);
	return r;
}

void undo_read_ram(void *opaque)
{
	struct steps *s = opaque;

	guest_ram_free(s->ram);
	s->ram = NULL;

	/* The session holds the files themselves; only our descriptors go. */
	while (s->ram_count > 0)
		close(s->ram_fds[--s->ram_count]);
	kept_devices_done(&s->kept);
}

/* What is handed over is all there; what comes out of a file has holes. */
static int take_ram(struct steps *s, const struct vm_config *config, struct guest_ram **ret,
		    struct error *err)
{
	int r;

	*ret = STEAL_PTR(s->ram);
	if (*ret)
		return 0;
	r = guest_ram_adopt(config->memory, &config->growth, s->ram_fds, s->ram_count, ret, err);
	if (r == 0 && config->prefault && source_is_snapshot(s->source))
		guest_ram_prefault_again(*ret);
	return r;
}

int step_build(void *opaque, struct error *err)
{
	struct steps *s = opaque;
	struct vm_parts *parts = s->parts;
	struct guest_ram *ram;
	int r = vm_parts_confine(parts, false, err);

	if (r == 0)
		r = steps_lock(s, err);
	if (r < 0)
		return r;
	r = take_ram(s, &parts->config, &ram, err);
	if (r < 0) {
		close_fdp(&s->lock_fd);
		return r;
	}
	s->ram_count = 0;
	r = machine_build(&parts->config, parts->loop, ram, &s->kept, parts->on_event,
			  parts->on_event_opaque, &parts->machine, err);
	kept_devices_done(&s->kept);
	if (r < 0)
		close_fdp(&s->lock_fd);
	return r;
}

void undo_build(void *opaque)
{
	struct steps *s = opaque;

	machine_free(s->parts->machine);
	s->parts->machine = NULL;
	close_fdp(&s->lock_fd);
}

int step_check(void *opaque, struct error *err)
{
	struct steps *s = opaque;

	return machine_load(s->parts->machine, &s->blob, STATE_CHECK, err);
}

int step_apply(void *opaque, struct error *err)
{
	struct steps *s = opaque;

	return machine_load(s->parts->machine, &s->blob, STATE_APPLY, err);
}

int step_announce(void *opaque, struct error *err)
{
	struct steps *s = opaque;

	return machine_resumed(s->parts->machine, err);
}

/* MACHINE_EVENT_ALL_VCPUS_RAN ends this step, or MACHINE_EVENT_CRASHED. */
int step_run(void *opaque, struct error *err)
{
	struct steps *s = opaque;
	int r = vm_parts_confine(s->parts, true, err);

	if (r == 0)
		r = machine_start(s->parts->machine, err);
	return r < 0 ? r : UPDATE_PENDING;
}

int step_finish(void *opaque, struct error *err)
{
	struct steps *s = opaque;

	return source_finish(s->source, err);
}
