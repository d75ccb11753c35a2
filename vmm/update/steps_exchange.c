/* SPDX-License-Identifier: Apache-2.0 */
/* An exchange of the vmm on the same kernel: what a kexec has no need of. */
#include "base/util.h"
#include "luo/tokens.h"
#include "vmm/update/steps_priv.h"

/* The configuration as it is now, where the state will be: it says nothing of the guest. */
int steps_write_preview(struct steps *s, struct error *err)
{
	struct record record = {.held = s->parts->held, .timeline = *s->timeline};
	const void *blob;
	size_t size;
	int r;

	vm_parts_learn(s->parts);
	record.config = s->parts->config;
	r = record_save(&record, s->writer, err);
	if (r == 0)
		r = state_writer_finish(s->writer, &blob, &size, err);
	if (r == 0)
		r = state_file_write(&s->file, blob, size, err);
	/* The next one is for the freeze, which is not to wait for memory. */
	state_writer_free(s->writer);
	s->writer = NULL;
	return r < 0 ? r : steps_make_writer(s, err);
}

static int read_preview(struct steps *s, struct record *ret, struct error *err)
{
	_cleanup_free_ void *bytes = NULL;
	_cleanup_fd_ int fd = FD_NONE;
	struct state_blob blob;
	int r = steps_read_blob(s, &fd, &bytes, &blob, err);

	return r < 0 ? r : steps_read_record(s, &blob, ret, err);
}

/* The guest runs meanwhile, in the process that exported its memory. */
int step_adopt(void *opaque, struct error *err)
{
	struct steps *s = opaque;
	struct record record;
	int r = read_preview(s, &record, err);

	if (r == 0)
		r = steps_retrieve_ram(s, &record.config, err);
	if (r == 0)
		r = guest_ram_adopt(record.config.memory, &record.config.growth, s->ram_fds,
				    s->ram_count, &s->ram, err);
	if (r < 0)
		undo_read_ram(s);
	s->ram_count = 0;
	return r;
}

int step_use_ram(void *opaque, struct error *err)
{
	struct steps *s = opaque;

	if (guest_ram_size(s->ram) != vm_config_memory(&s->parts->config))
		return error_set(
			err, -EINVAL,
			"the memory that was adopted (%llu MiB) is not the guest's (%llu MiB)",
			(unsigned long long)(guest_ram_size(s->ram) / MIB),
			(unsigned long long)(vm_config_memory(&s->parts->config) / MIB));
	/* Not before: the guest may have given one back while it ran. */
	return kept_devices_retrieve(&s->kept, &s->parts->config, s->source, err);
}

/* What the machine alone can have (a tap, a CID, sockets) is free for the next process after this.
 */
int step_let_go(void *opaque, struct error *err _unused_)
{
	struct steps *s = opaque;

	machine_free(s->parts->machine);
	s->parts->machine = NULL;
	state_file_close(&s->file);
	s->saved = s->preserved = false;
	s->paused_by_us = s->drained_by_us = false;
	return 0;
}

int steps_lock(struct steps *s, struct error *err)
{
	if (!source_is_table(s->source))
		return 0;
	close_fdp(&s->lock_fd);
	return state_file_lock(s->state_fd, &s->lock_fd, err);
}

/*
 * Two processes have the files of an exchange, and whatever happens to luod, one of them runs the
 * guest: the one that takes the state away first. Of a session there is only one holder.
 */
int step_claim(void *opaque, struct error *err)
{
	struct steps *s = opaque;
	int r;

	if (!source_is_table(s->source))
		return 0;
	r = state_file_claim(s->state_fd, s->bytes, err);
	s->claimed = r == 0;
	return r;
}

void undo_claim(void *opaque)
{
	struct steps *s = opaque;

	if (s->claimed)
		state_file_unclaim(s->state_fd, s->bytes);
	s->claimed = false;
}
