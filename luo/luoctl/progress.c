/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luoctl/progress.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/clock.h"

/* Not more often than this, however fast events come. */
#define REDRAW_NS (100 * NSEC_PER_MSEC)
/* How long a host may take to come back from a kexec. */
#define RETURN_NS  (900 * NSEC_PER_SEC)
#define RETRY_MS   500
#define NAME_WIDTH 20

/* How far a VM is, in the order in which an update goes. */
static const char *const steps[] = {"running",	 "preparing", "prepared", "freezing", "frozen",
				    "preserved", "starting",  "waiting",  "loaded",   "resumed"};

/* 0 to 10; a VM that runs is at the begin, or at the end of an update that resumes. */
static unsigned int how_far(const char *phase, const char *state)
{
	bool resuming = strcmp(state, "resuming") == 0 || strcmp(state, "done") == 0 ||
			strcmp(state, "partial") == 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(steps); i++) {
		if (strcmp(phase, steps[i]) == 0)
			return i == 0 && resuming ? ARRAY_SIZE(steps) : i;
	}
	return 0;
}

static void draw_vm(FILE *out, const json_t *vm, const char *state, unsigned int columns)
{
	const char *phase = doc_string(vm, "phase"), *why = doc_string(vm, "why");
	const json_t *blackout = json_object_get(vm, "blackout-ms");
	unsigned int far = how_far(phase, state);
	int room = (int)columns - NAME_WIDTH - 30;

	fprintf(out, "  %-*.*s [", NAME_WIDTH, NAME_WIDTH, doc_string(vm, "id"));
	for (unsigned int i = 0; i < ARRAY_SIZE(steps); i++)
		fputc(i < far ? '#' : '.', out);
	fprintf(out, "] %-12.12s", phase);
	if (why[0] && room > 0)
		fprintf(out, " %.*s", room, why);
	else if (blackout)
		fprintf(out, " %.1f ms", json_number_value(blackout));
	fputc('\n', out);
}

/* "and 68 more: 60 prepared, 8 preparing" */
static void draw_rest(FILE *out, const json_t *vms, size_t from)
{
	const char *between = ": ";
	unsigned int other = (unsigned int)(json_array_size(vms) - from);

	fprintf(out, "  and %u more", other);
	for (unsigned int i = 0; i < ARRAY_SIZE(steps); i++) {
		unsigned int count = 0;

		for (size_t j = from; j < json_array_size(vms); j++)
			count += strcmp(doc_string(json_array_get(vms, j), "phase"), steps[i]) == 0;
		if (!count)
			continue;
		fprintf(out, "%s%u %s", between, count, steps[i]);
		between = ", ";
		other -= count;
	}
	if (other)
		fprintf(out, "%s%u in another phase", between, other);
	fputc('\n', out);
}

char *progress_draw(const json_t *update, unsigned int rows, unsigned int columns,
		    unsigned int *ret_lines)
{
	const json_t *vms = json_object_get(update, "vms");
	size_t count = json_array_size(vms), room = rows > 6 ? rows - 4 : 2, shown, size = 0;
	const char *state = doc_string(update, "state"), *to = doc_string(update, "to");
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	shown = count > room ? room - 1 : count;
	fprintf(out, "update %.36s: %s (%.20s -> %.20s)\n", doc_string(update, "id"), state,
		doc_string(update, "from"), to[0] ? to : "?");
	for (size_t i = 0; i < shown; i++)
		draw_vm(out, json_array_get(vms, i), state, columns);
	if (shown < count)
		draw_rest(out, vms, shown);
	*ret_lines = (unsigned int)(1 + shown + (shown < count));
	return fclose(out) == 0 ? text : NULL;
}

struct progress {
	const struct ctl *ctl;
	char path[128];
	uint64_t drawn_ns;
	unsigned int lines; /* on the screen */
	json_t *update;	    /* owned */
	struct error *err;
};

static void draw(struct progress *p)
{
	struct winsize size = {0};
	unsigned int lines = 0;
	char *text;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col)
		size = (struct winsize){.ws_row = 24, .ws_col = 80};
	text = progress_draw(p->update, size.ws_row, size.ws_col, &lines);
	if (!text)
		return;
	/* ECMA-48: CUU, ED. */
	if (p->lines)
		printf("\033[%uA\033[J", p->lines);
	fputs(text, stdout);
	fflush(stdout);
	free(text);
	p->lines = lines;
	p->drawn_ns = clock_monotonic_ns();
}

/* 1: it has ended. */
static int look(struct progress *p)
{
	json_t *update = NULL;
	int r = api_call(p->ctl, "GET", p->path, NULL, &update, p->err);

	if (r < 0)
		return r;
	json_decref(p->update);
	p->update = update;
	draw(p);
	return json_is_true(json_object_get(update, "ended"));
}

static int on_event(void *opaque, const char *kind, json_t *data)
{
	struct progress *p = opaque;

	if (strcmp(kind, "vm") == 0 && clock_monotonic_ns() - p->drawn_ns < REDRAW_NS)
		return 0;
	if (strcmp(kind, "update") == 0 || strcmp(kind, "vm") == 0 || strcmp(kind, "reset") == 0 ||
	    strcmp(kind, "hello") == 0)
		return look(p);
	(void)data;
	return 0;
}

bool progress_await_return(const struct ctl *ctl, int result, uint64_t *until_ns)
{
	uint64_t now = clock_monotonic_ns();

	/* On the host itself this program is gone with the old kernel. */
	if (!ctl->url || (result != -EPIPE && result != -ECONNREFUSED))
		return false;
	if (!*until_ns)
		*until_ns = now + RETURN_NS;
	if (now >= *until_ns)
		return false;
	poll(NULL, 0, RETRY_MS);
	return true;
}

int progress_follow(const struct ctl *ctl, const char *id, json_t **ret, struct error *err)
{
	struct progress p = {.ctl = ctl, .err = err};
	char last[EVENT_ID_MAX] = "";
	uint64_t until_ns = 0;
	int r;

	snprintf(p.path, sizeof(p.path), "/api/v1/updates/%.36s", id);
	for (;;) {
		uint64_t before = p.drawn_ns;

		r = api_stream(ctl, "/api/v1/events", last, on_event, &p, err);
		/* The time is for one absence, not for the whole update. */
		if (p.drawn_ns != before)
			until_ns = 0;
		if (r > 0 || !progress_await_return(ctl, r, &until_ns))
			break;
		error_clear(err);
	}
	if (r > 0)
		*ret = STEAL_PTR(p.update);
	json_decref(p.update);
	return r < 0 ? r : 0;
}
