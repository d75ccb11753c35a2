/* SPDX-License-Identifier: Apache-2.0 */
/* luoctl update, abort and continue */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/luoctl/luoctl.h"
#include "luo/luoctl/preflight.h"
#include "luo/luoctl/progress.h"

struct update_options {
	const char *kernel, *initrd, *cmdline, *freeze_timeout, *prepare_timeout, *pause_timeout,
		*at_once, *order, *on_unpreservable, *shutdown_timeout, *snapshot_dir;
	bool reuse_cmdline, dry_run, no_wait, skip_preflight, stop_host;
};

/* "a,b,c" as an array. */
static json_t *split(const char *text)
{
	json_t *array = json_array();

	while (*text) {
		size_t length = strcspn(text, ",");

		json_array_append_new(array, json_stringn(text, length));
		text += length + (text[length] == ',');
	}
	return array;
}

static int make_body(const struct ctl *ctl, const struct update_options *o, json_t *body,
		     struct error *err)
{
	int r = ctl_set_file(ctl, body, "kernel", o->kernel, err);

	if (r == 0)
		r = ctl_set_file(ctl, body, "initrd", o->initrd, err);
	if (r == 0)
		r = ctl_set_number(body, "freeze-timeout-ms", o->freeze_timeout, err);
	if (r == 0)
		r = ctl_set_number(body, "prepare-timeout-ms", o->prepare_timeout, err);
	if (r == 0)
		r = ctl_set_number(body, "pause-timeout-ms", o->pause_timeout, err);
	if (r == 0)
		r = ctl_set_number(body, "at-once", o->at_once, err);
	if (r == 0)
		r = ctl_set_number(body, "shutdown-timeout-ms", o->shutdown_timeout, err);
	if (r == 0)
		r = ctl_set_file(ctl, body, "snapshot-dir", o->snapshot_dir, err);
	if (o->on_unpreservable)
		json_object_set_new(body, "on-unpreservable", json_string(o->on_unpreservable));
	if (o->order)
		json_object_set_new(body, "order", split(o->order));
	if (o->cmdline)
		json_object_set_new(body, "cmdline", json_string(o->cmdline));
	else
		json_object_set_new(body, "reuse-cmdline", json_true());
	if (o->dry_run)
		json_object_set_new(body, "dry-run", json_true());
	if (o->stop_host)
		json_object_set_new(body, "stop-host", json_true());
	return r;
}

/* A line for each change of the update or of one of its VMs. */
static void print_progress(const json_t *doc, char *shown, size_t size)
{
	char now[4096];
	size_t used, i;
	json_t *vm;

	used = (size_t)snprintf(now, sizeof(now), "%s", doc_string(doc, "state"));
	json_array_foreach(json_object_get(doc, "vms"), i, vm)
	{
		if (used < sizeof(now))
			used += (size_t)snprintf(now + used, sizeof(now) - used, "%s%s %s",
						 i ? ", " : ": ", doc_string(vm, "id"),
						 doc_string(vm, "phase"));
	}
	if (strcmp(now, shown) == 0)
		return;
	printf("%s\n", now);
	fflush(stdout);
	snprintf(shown, size, "%s", now);
}

static int report_end(const struct ctl *ctl, const char *command, const json_t *doc)
{
	const char *state = doc_string(doc, "state");
	json_t *vm;
	size_t i;

	if (ctl->json)
		ctl_print_json(doc);
	if (strcmp(state, "done") == 0)
		return CTL_OK;
	if (strcmp(state, "checked") == 0) {
		if (!ctl->json)
			printf("nothing is in the way; everything was taken back\n");
		return CTL_OK;
	}
	fprintf(stderr, "luoctl %s: %s: %s\n", command, state, doc_string(doc, "why"));
	json_array_foreach(json_object_get(doc, "vms"), i, vm)
	{
		if (doc_string(vm, "why")[0] &&
		    strcmp(doc_string(vm, "why"), doc_string(doc, "why")) != 0)
			fprintf(stderr, "  %s\n", doc_string(vm, "why"));
	}
	return strcmp(state, "partial") == 0 ? CTL_PARTIAL : CTL_FAILED;
}

/* On a terminal: the whole update, drawn anew with every event. */
static int watch(const struct ctl *ctl, const char *command, json_t **doc)
{
	struct error err = ERROR_INIT;
	json_t *end = NULL;

	if (progress_follow(ctl, doc_string(*doc, "id"), &end, &err) < 0)
		return ctl_fail(command, &err);
	json_decref(*doc);
	*doc = end;
	return report_end(ctl, command, end);
}

/* What has become of the update since that revision; over the network also across the kexec. */
static int wait_change(const struct ctl *ctl, const char *id, json_int_t revision, json_t **doc,
		       struct error *err)
{
	uint64_t until_ns = 0;
	char path[256];
	int r;

	snprintf(path, sizeof(path), "/api/v1/updates/%s?wait=%lld", id, (long long)revision);
	for (;;) {
		bool first = until_ns == 0;

		r = api_call(ctl, "GET", path, NULL, doc, err);
		if (r == 0 || !progress_await_return(ctl, r, &until_ns))
			return r;
		if (first && !ctl->json)
			printf("the host does not answer; trying again\n");
		fflush(stdout);
		error_clear(err);
		/* Another luod counts anew. */
		snprintf(path, sizeof(path), "/api/v1/updates/%s", id);
	}
}

static int follow(const struct ctl *ctl, const char *command, json_t **doc)
{
	struct error err = ERROR_INIT;
	char shown[4096] = "", id[64];

	snprintf(id, sizeof(id), "%s", doc_string(*doc, "id"));
	for (;;) {
		json_int_t revision = doc_integer(*doc, "revision");

		if (!ctl->json)
			print_progress(*doc, shown, sizeof(shown));
		if (json_is_true(json_object_get(*doc, "ended")))
			return report_end(ctl, command, *doc);
		json_decref(*doc);
		if (wait_change(ctl, id, revision, doc, &err) < 0)
			return ctl_fail(command, &err);
	}
}

/* Refuses what cannot succeed before anything is touched; what it found goes to stderr. */
static int run_preflight(const struct ctl *ctl, const struct update_options *o, struct error *err)
{
	struct preflight_request request = {
		.kernel = o->kernel, .initrd = o->initrd, .cmdline = o->cmdline};
	_cleanup_report_ struct report report = {0};
	_cleanup_json_ json_t *keep = NULL;
	bool without = o->on_unpreservable && strcmp(o->on_unpreservable, "refuse") != 0;
	int r = ctl_preflight(ctl, true, without, &request, &report, &keep, err);

	if (r < 0)
		return r;
	/* An update that would do no harm needs no page of text. */
	if (report_ok(&report) && report_count(&report, SEVERITY_WARNING) == 0)
		return 0;
	report_print(&report, stderr);
	if (report_ok(&report))
		return 0;
	return error_set(err, -ECANCELED,
			 "nothing was touched: preflight says that the update would fail (above); "
			 "--skip-preflight goes on all the same");
}

int cmd_update(const struct ctl *ctl, int argc, char **argv)
{
	struct update_options o = {0};
	const struct ctl_option options[] = {
		{"kernel", &o.kernel, NULL},
		{"initrd", &o.initrd, NULL},
		{"cmdline", &o.cmdline, NULL},
		{"reuse-cmdline", NULL, &o.reuse_cmdline},
		{"freeze-timeout", &o.freeze_timeout, NULL},
		{"prepare-timeout", &o.prepare_timeout, NULL},
		{"pause-timeout", &o.pause_timeout, NULL},
		{"at-once", &o.at_once, NULL},
		{"order", &o.order, NULL},
		{"on-unpreservable", &o.on_unpreservable, NULL},
		{"shutdown-timeout", &o.shutdown_timeout, NULL},
		{"snapshot-dir", &o.snapshot_dir, NULL},
		{"dry-run", NULL, &o.dry_run},
		{"stop-host", NULL, &o.stop_host},
		{"no-wait", NULL, &o.no_wait},
		{"skip-preflight", NULL, &o.skip_preflight},
	};
	_cleanup_json_ json_t *body = json_object();
	_cleanup_json_ json_t *doc = NULL;
	struct error err = ERROR_INIT;

	if (ctl_options_only(argc, argv, options, ARRAY_SIZE(options)) != CTL_OK)
		return CTL_USAGE;
	if (!o.kernel)
		return ctl_usage(argv[0], "--kernel: name the kernel to go to");
	if (o.cmdline && o.reuse_cmdline)
		return ctl_usage(argv[0], "--cmdline and --reuse-cmdline exclude each other");
	if (make_body(ctl, &o, body, &err) < 0 ||
	    (!o.skip_preflight && run_preflight(ctl, &o, &err) < 0) ||
	    api_call(ctl, "POST", "/api/v1/updates", body, &doc, &err) < 0)
		return ctl_fail(argv[0], &err);
	if (!o.no_wait && !ctl->json && isatty(STDOUT_FILENO))
		return watch(ctl, argv[0], &doc);
	if (!o.no_wait)
		return follow(ctl, argv[0], &doc);
	if (ctl->json)
		ctl_print_json(doc);
	else
		printf("update %s\n", doc_string(doc, "id"));
	return CTL_OK;
}

/* Says something of the update under way, whose id it gives, and waits for its end. */
static int tell_update(const struct ctl *ctl, const char *method, const char *suffix, char id[64],
		       json_t **doc, struct error *err)
{
	_cleanup_json_ json_t *health = NULL;
	const json_t *update;
	char path[256];
	int r = api_call(ctl, "GET", "/healthz", NULL, &health, err);

	if (r < 0)
		return r;
	update = json_object_get(health, "update");
	if (!update || json_is_true(json_object_get(update, "ended")))
		return error_set(err, -EALREADY, "no update is under way");
	snprintf(id, 64, "%s", doc_string(update, "id"));
	snprintf(path, sizeof(path), "/api/v1/updates/%s%s", id, suffix);
	r = api_call(ctl, method, path, NULL, doc, err);
	/* It ends when the step under way has come back and all is undone. */
	while (r == 0 && !json_is_true(json_object_get(*doc, "ended"))) {
		snprintf(path, sizeof(path), "/api/v1/updates/%s?wait=%lld", id,
			 doc_integer(*doc, "revision"));
		json_decref(*doc);
		r = api_call(ctl, "GET", path, NULL, doc, err);
	}
	return r;
}

/* Comes back only if the guests could not be taken along: the host is another one else. */
int cmd_continue(const struct ctl *ctl, int argc, char **argv)
{
	_cleanup_json_ json_t *doc = NULL;
	struct error err = ERROR_INIT;
	char id[64];

	if (argc > 1)
		return ctl_usage(argv[0], "%s: it takes no argument", argv[1]);
	if (tell_update(ctl, "PUT", "/continue", id, &doc, &err) < 0)
		return ctl_fail(argv[0], &err);
	return report_end(ctl, argv[0], doc);
}

int cmd_abort(const struct ctl *ctl, int argc, char **argv)
{
	_cleanup_json_ json_t *doc = NULL;
	struct error err = ERROR_INIT;
	char id[64];
	int status;

	if (argc > 1)
		return ctl_usage(argv[0], "%s: it takes no argument", argv[1]);
	if (tell_update(ctl, "DELETE", "", id, &doc, &err) < 0)
		return ctl_fail(argv[0], &err);
	status = strcmp(doc_string(doc, "state"), "aborted") == 0 ? CTL_OK : CTL_FAILED;
	if (ctl->json)
		ctl_print_json(doc);
	else
		printf("update %s: %s\n", id, doc_string(doc, "state"));
	return status;
}
