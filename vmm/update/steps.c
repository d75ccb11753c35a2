/* SPDX-License-Identifier: Apache-2.0 */
#include "base/util.h"
#include "vmm/update/steps_priv.h"

static unsigned int facts(void *opaque)
{
	const struct steps *s = opaque;
	const struct machine *machine = s->parts->machine;
	unsigned int facts = 0;

	if (machine)
		facts |= UPDATE_FACT_MACHINE;
	if (machine && machine_is_running(machine))
		facts |= UPDATE_FACT_RUNNING;
	if (source_is_open(s->source))
		facts |= UPDATE_FACT_SESSION;
	if (s->file.map || s->read)
		facts |= UPDATE_FACT_STATE;
	if (s->preserved)
		facts |= UPDATE_FACT_PRESERVED;
	if (s->saved)
		facts |= UPDATE_FACT_SAVED;
	if (s->ram_count > 0 || s->ram)
		facts |= UPDATE_FACT_RAM;
	if (machine && machine_is_drained(machine))
		facts |= UPDATE_FACT_DRAINED;
	if (machine && machine_memory_is_kept(machine))
		facts |= UPDATE_FACT_KEPT;
	if (s->parts->held)
		facts |= UPDATE_FACT_HELD;
	return facts;
}

const struct update_steps update_real_steps = {
	.step =
		{
			[UPDATE_STEP_PREFLIGHT] = {step_preflight, NULL},
			[UPDATE_STEP_KEEP] = {step_keep, undo_keep},
			[UPDATE_STEP_OPEN] = {step_open, undo_open},
			[UPDATE_STEP_STATE_FILE] = {step_state_file, undo_state_file},
			/* Its undo is that of open: there is no unpreserving of one file. */
			[UPDATE_STEP_PRESERVE] = {step_preserve, NULL},
			[UPDATE_STEP_GIVE_UP] = {step_give_up, undo_give_up},
			[UPDATE_STEP_PAUSE] = {step_pause, undo_pause},
			[UPDATE_STEP_DRAIN] = {step_drain, undo_drain},
			[UPDATE_STEP_SETTLE] = {step_settle, NULL},
			[UPDATE_STEP_SAVE] = {step_save, undo_save},
			[UPDATE_STEP_STORE] = {step_store, NULL},
			[UPDATE_STEP_CONTINUE] = {step_continue, NULL},
			[UPDATE_STEP_CLOSE] = {step_close, NULL},
			[UPDATE_STEP_RELEASE] = {step_release, NULL},
			[UPDATE_STEP_TAKE_BACK] = {step_take_back, NULL},
			/* No undo: closing a session that was taken up frees the guest's memory. */
			[UPDATE_STEP_TAKE] = {step_take, NULL},
			[UPDATE_STEP_READ_STATE] = {step_read_state, undo_read_state},
			[UPDATE_STEP_READ_RAM] = {step_read_ram, undo_read_ram},
			[UPDATE_STEP_BUILD] = {step_build, undo_build},
			[UPDATE_STEP_CHECK] = {step_check, NULL},
			/* These change the machine, which build's undo takes away. */
			[UPDATE_STEP_APPLY] = {step_apply, NULL},
			[UPDATE_STEP_ANNOUNCE] = {step_announce, NULL},
			[UPDATE_STEP_RUN] = {step_run, NULL},
			[UPDATE_STEP_RETURN] = {step_return, NULL},
			[UPDATE_STEP_FINISH] = {step_finish, NULL},
			[UPDATE_STEP_ADOPT] = {step_adopt, undo_read_ram},
			[UPDATE_STEP_USE_RAM] = {step_use_ram, undo_read_ram},
			[UPDATE_STEP_LET_GO] = {step_let_go, NULL},
			[UPDATE_STEP_CLAIM] = {step_claim, undo_claim},
		},
	.facts = facts,
};

int steps_new(struct vm_parts *parts, struct steps **ret, struct error *err)
{
	struct steps *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return error_set(err, -ENOMEM, "update: out of memory");
	*s = (struct steps){
		.parts = parts,
		.file = {.fd = FD_NONE},
		.state_fd = FD_NONE,
		.lock_fd = FD_NONE,
		.freeze_timeout_ms = FREEZE_TIMEOUT_MS_DEFAULT,
	};
	kept_devices_init(&s->kept);
	r = loop_timer_new(parts->loop, steps_settled, s, &s->settle_timer, err);
	if (r == 0)
		r = loop_timer_new(parts->loop, steps_not_given_up, s, &s->give_up_timer, err);
	if (r < 0) {
		steps_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void steps_free(struct steps *s)
{
	if (!s)
		return;
	loop_timer_free(s->settle_timer);
	loop_timer_free(s->give_up_timer);
	state_writer_free(s->writer);
	state_file_close(&s->file);
	undo_read_ram(s);
	close_fdp(&s->state_fd);
	close_fdp(&s->lock_fd);
	free(s->bytes);
	source_free(s->source);
	free(s);
}

void steps_set_update(struct steps *s, struct update *update)
{
	s->update = update;
	s->timeline = update_timeline(update);
}

bool steps_set_source(struct steps *s, struct source *source)
{
	if (source_is_open(s->source)) {
		source_free(source);
		return false;
	}
	source_free(s->source);
	s->source = source;
	return true;
}

int steps_session(const struct steps *s)
{
	return source_session(s->source);
}

void steps_set_freeze_timeout(struct steps *s, unsigned int timeout_ms)
{
	s->freeze_timeout_ms = timeout_ms;
}

bool steps_session_is_open(const struct steps *s)
{
	return source_is_open(s->source);
}

bool steps_have_snapshot(const struct steps *s)
{
	return source_is_open(s->source) && source_is_snapshot(s->source);
}

bool steps_have_table(const struct steps *s)
{
	return source_is_open(s->source) && source_is_table(s->source);
}

unsigned int steps_table(const struct steps *s, const struct source_entry **ret)
{
	return steps_have_table(s) ? source_table_entries(s->source, ret) : 0;
}
