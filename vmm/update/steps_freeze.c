/* SPDX-License-Identifier: Apache-2.0 */
/* From prepared to frozen, and back: the guest stands still. Nothing here grows with its RAM. */
#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "vmm/update/steps_priv.h"

/* A machine has one event that ends nothing and may come before one that does. */
#define SETTLE_TURNS 3

int steps_make_writer(struct steps *s, struct error *err)
{
	if (s->writer)
		return 0;
	return state_writer_new(s->file.size, &s->writer, err);
}

int step_pause(void *opaque, struct error *err)
{
	struct steps *s = opaque;
	int r;

	s->freeze_end_ns = clock_monotonic_ns() + s->freeze_timeout_ms * NSEC_PER_MSEC;
	s->paused_by_us = machine_is_running(s->parts->machine);
	if (!s->paused_by_us)
		return 0;
	r = machine_pause(s->parts->machine, s->freeze_timeout_ms, err);
	if (r < 0)
		return error_prefix(err, "the guest goes on: "), r;
	return 0;
}

void undo_pause(void *opaque)
{
	struct error err = ERROR_INIT;

	/* A vCPU that will not start again is a crashed machine: it is told as such. */
	if (step_continue(opaque, &err) < 0)
		log_error("cannot continue the guest: %s", error_message(&err));
}

/* In what the vCPUs have left of the time. */
int step_drain(void *opaque, struct error *err)
{
	struct steps *s = opaque;
	uint64_t now = clock_monotonic_ns();
	unsigned int left_ms = 0;
	int r;

	s->drained_by_us = !machine_is_drained(s->parts->machine);
	if (!s->drained_by_us)
		return 0;
	if (now < s->freeze_end_ns)
		left_ms = (unsigned int)((s->freeze_end_ns - now) / NSEC_PER_MSEC);
	r = machine_drain(s->parts->machine, left_ms, err);
	if (r < 0)
		return error_prefix(err, "the guest goes on: "), r;
	return 0;
}

void undo_drain(void *opaque)
{
	struct steps *s = opaque;

	if (s->drained_by_us)
		machine_undrain(s->parts->machine);
	s->drained_by_us = false;
}

/*
 * A vCPU may have asked for a reset just before it stopped. That lies in the loop's queue and would
 * be lost with this process: a few turns of the loop bring it out, one event in each, and whoever
 * gets it cancels.
 */
int step_settle(void *opaque, struct error *err _unused_)
{
	struct steps *s = opaque;

	s->settle_turns = SETTLE_TURNS;
	loop_timer_arm(s->settle_timer, 0, 0);
	return UPDATE_PENDING;
}

void steps_settled(void *opaque)
{
	struct steps *s = opaque;

	if (--s->settle_turns > 0)
		loop_timer_arm(s->settle_timer, 0, 0);
	else
		update_step_done(s->update, UPDATE_STEP_SETTLE, 0, NULL);
}

static int write_state(struct steps *s, struct error *err)
{
	struct record record = {.held = s->parts->held};
	const void *blob;
	size_t size;
	int r;

	for (unsigned int i = 0; i < PASSTHROUGH_SPACES; i++)
		record.ioas[i] = s->kept.spaces[i].ioas;
	vm_parts_learn(s->parts);
	record.config = s->parts->config;
	r = machine_save(s->parts->machine, s->writer, err);
	if (r < 0)
		return r;
	/* The last that is written: what is left is a checksum and a copy. */
	timeline_end(s->timeline, TIMELINE_FREEZE);
	record.timeline = *s->timeline;
	r = record_save(&record, s->writer, err);
	if (r == 0)
		r = state_writer_finish(s->writer, &blob, &size, err);
	if (r == 0)
		r = state_file_write(&s->file, blob, size, err);
	return r;
}

int step_save(void *opaque, struct error *err)
{
	struct steps *s = opaque;
	int r;

	/* The one of prepare was used up if this is the second freeze. */
	r = kept_devices_check(&s->kept, machine_config(s->parts->machine), err);
	if (r == 0)
		r = steps_make_writer(s, err);
	if (r < 0)
		return r;
	r = write_state(s, err);
	state_writer_free(s->writer);
	s->writer = NULL;
	s->saved = r == 0;
	/* This process may end now, and they must not end with it. */
	machine_hand_over(s->parts->machine, s->saved);
	return r;
}

void undo_save(void *opaque)
{
	struct steps *s = opaque;

	/* Else a kexec that nobody froze for would bring back a guest of the past. */
	state_file_wipe(&s->file);
	s->saved = false;
	machine_hand_over(s->parts->machine, false);
}

/* On the update's thread, and while the guest stands still: it takes as long as the disk does. */
int step_store(void *opaque, struct error *err)
{
	struct steps *s = opaque;

	return source_store(s->source, err);
}

int step_continue(void *opaque, struct error *err)
{
	struct steps *s = opaque;
	int r;

	if (s->paused_by_us) {
		r = machine_start(s->parts->machine, err);
		if (r < 0)
			return r;
		s->paused_by_us = s->drained_by_us = false;
	}
	undo_save(s);
	return 0;
}
