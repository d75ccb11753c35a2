/* SPDX-License-Identifier: Apache-2.0 */
/* From running to prepared, and back: what costs time while the guest still runs. */
#include <stdio.h>

#include "base/json.h"
#include "base/util.h"
#include "base/work.h"
#include "vmm/guest_memory_hold.h"
#include "vmm/update/steps_priv.h"

static void close_session(struct steps *s)
{
	source_close(s->source);
	s->preserved = false;
}

/* Every reason is told, not only the first. A session that the agent passed is given up: one of
 * that name could not be made again while this process has it. */
int step_preflight(void *opaque, struct error *err)
{
	struct steps *s = opaque;
	struct error why = ERROR_INIT;
	struct problems problems = {0};

	timeline_begin(s->timeline, TIMELINE_PREFLIGHT);
	/* A snapshot is what is left to such a VM. */
	if (!s->parts->config.preserve_on_update && !source_is_snapshot(s->source))
		problem_add(&problems,
			    "it was started without --preserve-on-update: start it anew with it");
	if (machine_can_preserve(s->parts->machine, &why) < 0)
		problem_add(&problems, "%s", error_message(&why));
	if (source_crosses_kexec(s->source) &&
	    kept_devices_probe(machine_config(s->parts->machine), &why) < 0)
		problem_add(&problems, "%s", error_message(&why));
	if (guest_ram_region_count(machine_ram(s->parts->machine)) >
	    TOKEN_RAM_LAST - TOKEN_RAM_FIRST + 1)
		problem_add(&problems, "guest RAM has more regions than there are tokens");
	timeline_end(s->timeline, TIMELINE_PREFLIGHT);
	if (problems.count == 0)
		return 0;
	close_session(s);
	return error_set(err, -EOPNOTSUPP, "VM %s cannot be preserved: %s", s->parts->config.id,
			 problems.text);
}

/* The kernel refuses holes in a file that is preserved, and fills those that it finds. */
int step_keep(void *opaque, struct error *err _unused_)
{
	struct steps *s = opaque;

	machine_keep_memory(s->parts->machine, true);
	return 0;
}

void undo_keep(void *opaque)
{
	struct steps *s = opaque;

	machine_keep_memory(s->parts->machine, false);
}

int step_release(void *opaque, struct error *err _unused_)
{
	undo_keep(opaque);
	return 0;
}

int step_open(void *opaque, struct error *err)
{
	struct steps *s = opaque;

	return source_open(s->source, err);
}

void undo_open(void *opaque)
{
	close_session(opaque);
}

int step_state_file(void *opaque, struct error *err)
{
	struct steps *s = opaque;
	struct machine *machine = s->parts->machine;
	size_t size;
	int r = 0;

	/* Here and not on the update's thread: devices come and go on the loop's. */
	if (!s->source->ops->without_devices)
		r = machine_keep_devices(machine, !source_crosses_kexec(s->source), &s->kept, err);
	if (r < 0)
		return r;
	size = machine_state_size_max(machine) + RECORD_SIZE_MAX;
	if (size > STATE_FILE_MAX)
		r = error_set(err, -E2BIG, "state file: this machine may need %zu bytes", size);
	if (r == 0)
		r = state_file_create(size, &s->file, err);
	if (r == 0)
		r = steps_make_writer(s, err);
	if (r == 0 && source_is_table(s->source))
		r = steps_write_preview(s, err);
	if (r < 0)
		undo_state_file(s);
	return r;
}

void undo_state_file(void *opaque)
{
	struct steps *s = opaque;

	state_writer_free(s->writer);
	s->writer = NULL;
	state_file_close(&s->file);
	kept_devices_done(&s->kept);
	if (s->parts->machine)
		machine_unkeep_devices(s->parts->machine);
	s->saved = false;
}

/*
 * LUO makes every page that the guest never touched, one small page after the other. Made by the
 * hold first, they are huge pages: what is preserved and taken up again later is then far less.
 * -ENOMEM now costs the guest nothing. Only a kernel needs it: elsewhere what the guest never
 * touched costs nothing.
 */
static int preserve_region(struct steps *s, const struct guest_memory_region *region,
			   uint64_t token, const char *what, struct error *err)
{
	struct ram_hold *hold = NULL;
	int r = 0;

	if (source_crosses_kexec(s->source))
		r = ram_hold_new(region, 1, &hold, err);
	if (r == 0)
		r = source_preserve(s->source, region->fd, token, what, err);
	ram_hold_free(hold);
	return r;
}

/* On a thread of its own: the regions do not change while the machine lives, and it lives until the
 * edge is over. */
int step_preserve(void *opaque, struct error *err)
{
	struct steps *s = opaque;
	const struct guest_ram *ram = machine_ram(s->parts->machine);
	int r;

	work_step_aside();
	for (unsigned int i = 0; i < guest_ram_region_count(ram); i++) {
		const struct guest_memory_region *region = guest_ram_region(ram, i);
		char what[96];

		snprintf(what, sizeof(what), "guest RAM %u (%llu MiB at %#llx)", i,
			 (unsigned long long)(region->size / MIB), (unsigned long long)region->gpa);
		r = preserve_region(s, region, TOKEN_RAM_FIRST + i, what, err);
		if (r < 0)
			return r;
	}
	r = kept_devices_preserve(&s->kept, s->source, err);
	if (r < 0)
		return r;
	r = source_preserve(s->source, s->file.fd, TOKEN_VM_STATE, "state file", err);
	if (r < 0)
		return r;
	s->preserved = true;
	return 0;
}

/* The end of every update: given up when it was aborted, finished before when it was resumed. */
int step_close(void *opaque, struct error *err _unused_)
{
	struct steps *s = opaque;

	close_session(s);
	undo_state_file(s);
	steps_forget_state(s);
	close_fdp(&s->state_fd);
	close_fdp(&s->lock_fd);
	return 0;
}
