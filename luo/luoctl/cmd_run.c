/* SPDX-License-Identifier: Apache-2.0 */
/*
 * luoctl run: a VM of luod as a service of systemd. It starts the VM, or joins one that is there,
 * as after an update of the kernel; stays until the VM has ended; and has its vmm in its own
 * control group, so that limits of the unit are limits of the VM.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/cgroup.h"
#include "base/json.h"
#include "base/notify.h"
#include "luo/agent.h"
#include "luo/luoctl/luoctl.h"

/* A luod that is started anew is back soon. */
#define RETRY_MS 500

struct run {
	const struct ctl *ctl;
	const char *file;
	const char *owner;
	json_t *config; /* owned */
	const char *id; /* of the config */
	struct notify notify;
	bool ready;
	pid_t pid; /* of the vmm that was moved here */
};

static bool has_ended(const json_t *vm)
{
	return strcmp(doc_string(vm, "phase"), "stopped") == 0 ||
	       strcmp(doc_string(vm, "phase"), "failed") == 0;
}

static int get(const struct run *run, long long revision, json_t **ret, struct error *err)
{
	char path[256];

	if (revision)
		snprintf(path, sizeof(path), "/api/v1/vms/%s?wait=%lld", run->id, revision);
	else
		snprintf(path, sizeof(path), "/api/v1/vms/%s", run->id);
	return api_call(run->ctl, "GET", path, NULL, ret, err);
}

static int start(const struct run *run, json_t **ret, struct error *err)
{
	char path[128];

	snprintf(path, sizeof(path), "/api/v1/vms%s%.20s", run->owner ? "?owner=" : "",
		 run->owner ? run->owner : "");
	return api_call(run->ctl, "POST", path, run->config, ret, err);
}

/* What is preserved of it may now find the files that it did not find before. */
static int take_up(const struct run *run, json_t **ret, struct error *err)
{
	char path[128];

	snprintf(path, sizeof(path), "/api/v1/vms/%s/resume", run->id);
	return api_call(run->ctl, "PUT", path, NULL, ret, err);
}

/* *ret: the VM, on its way. */
static int begin(const struct run *run, json_t **ret, struct error *err)
{
	_cleanup_json_ json_t *vm = NULL;
	struct error absent = ERROR_INIT;
	int r = get(run, 0, &vm, &absent);

	if (r == -ECONNREFUSED) {
		*err = absent;
		return r;
	}
	if (r < 0 || (has_ended(vm) && !json_is_true(json_object_get(vm, "resume"))))
		return start(run, ret, err);
	if (has_ended(vm))
		return take_up(run, ret, err);
	*ret = STEAL_PTR(vm);
	return 0;
}

/* Once for each vmm: an exchange, or luod's rescue, makes another process the VM's. */
static void show(struct run *run, const json_t *vm)
{
	const pid_t pid = (pid_t)doc_integer(vm, "pid");
	struct error err = ERROR_INIT;
	char text[256];

	if (pid > 0 && pid != run->pid && json_is_true(json_object_get(vm, "connected"))) {
		run->pid = pid;
		if (cgroup_join_own(pid, &err) < 0)
			fprintf(stderr, "luoctl run: %s\n", error_message(&err));
	}
	if (!json_is_true(json_object_get(vm, "connected")))
		return;
	snprintf(text, sizeof(text), "%sSTATUS=%.64s, vmm %lld", run->ready ? "" : "READY=1\n",
		 doc_string(vm, "phase"), (long long)pid);
	run->ready = true;
	notify_say(&run->notify, text);
}

/* The next change. -ENOENT: luod knows no such VM any more. */
static int next(const struct run *run, json_t **vm, struct error *err)
{
	json_t *now = NULL;
	int r;

	for (;;) {
		r = get(run, doc_integer(*vm, "revision"), &now, err);
		if (r != -ECONNREFUSED)
			break;
		error_clear(err);
		poll(NULL, 0, RETRY_MS);
		/* The revisions of a luod that was started again are others. */
		json_object_del(*vm, "revision");
	}
	if (r < 0)
		return r;
	json_decref(*vm);
	*vm = now;
	return 0;
}

static int follow(struct run *run, json_t **vm, struct error *err)
{
	int r = 0;

	while (r == 0 && !has_ended(*vm)) {
		show(run, *vm);
		r = next(run, vm, err);
	}
	if (r < 0)
		return r;
	if (strcmp(doc_string(*vm, "phase"), "failed") == 0)
		return error_set(err, -EIO, "vm %s: %s", run->id, doc_string(*vm, "why"));
	printf("%s: ended%s%s\n", run->id, doc_string(*vm, "why")[0] ? ": " : "",
	       doc_string(*vm, "why"));
	return 0;
}

int cmd_run(const struct ctl *ctl, int argc, char **argv)
{
	struct run run = {.ctl = ctl};
	const struct ctl_option option = {"owner", &run.owner, NULL};
	_cleanup_json_ json_t *config = NULL;
	_cleanup_json_ json_t *vm = NULL;
	struct error err = ERROR_INIT;
	int count, r;

	if (ctl_options(argc, argv, &option, 1, &count) < 0)
		return CTL_USAGE;
	if (count != 1 || (run.owner && strspn(run.owner, "0123456789") != strlen(run.owner)))
		return ctl_usage(argv[0],
				 "name one file with a VM's configuration; an owner is a number");
	if (ctl->url)
		return ctl_usage(argv[0], "the VM must be one of this host");
	run.file = argv[1];
	r = json_load_path(run.file, &config, &err);
	if (r == 0) {
		run.config = config;
		run.id = doc_string(config, "id");
		if (!agent_id_is_valid(run.id))
			r = error_set(&err, -EINVAL, "%s: \"id\" is missing, or no VM's", run.file);
	}
	notify_init(&run.notify);
	if (r == 0)
		r = begin(&run, &vm, &err);
	if (r == 0)
		r = follow(&run, &vm, &err);
	notify_done(&run.notify);
	return r < 0 ? ctl_fail(argv[0], &err) : CTL_OK;
}
