/* SPDX-License-Identifier: Apache-2.0 */
/* POST /api/v1/preflight: what luoctl preflight finds, run here beside the loop. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/work.h"
#include "luo/kexec.h"
#include "luo/luod/api.h"
#include "luo/preflight/preflight.h"

/* It decompresses a kernel, which takes a second or two of a processor: one at a time. */
struct preflight_job {
	struct luod *luod;
	struct exchange *exchange; /* NULL: the client has gone */
	struct preflight_request request;
	json_t *texts; /* owned: what the strings of request point into */
	struct preflight_vm *vms;
	struct report report;
};

static void job_free(struct preflight_job *job)
{
	report_done(&job->report);
	json_decref(job->texts);
	free(job->vms);
	free(job);
}

static int on_run(void *opaque, struct error *err)
{
	struct preflight_job *job = opaque;

	return preflight_run(&job->request, &job->report, err);
}

static void on_done(void *opaque, int result, struct error *err)
{
	struct preflight_job *job = opaque;
	json_t *body = NULL;

	job->luod->preflights--;
	if (result == 0) {
		body = report_to_json(&job->report);
		if (!body)
			result = error_set(err, -ENOMEM, "out of memory");
	}
	if (job->exchange)
		http_finish(job->exchange, result, 200, body, err);
	else
		json_decref(body);
	job_free(job);
}

/* The job's own copy: the record may change or go while it runs. */
static const char *keep(struct preflight_job *job, const char *text)
{
	json_t *copy = json_string(text);

	json_array_append_new(job->texts, copy);
	return copy ? json_string_value(copy) : "";
}

static void copy_vms(struct preflight_job *job)
{
	const struct registry *reg = &job->luod->registry;

	for (const struct vm_record *record = reg->vms; record; record = record->next) {
		/* One that has ended is no part of an update; one that waits for a retry is. */
		if (!record->resume &&
		    (record->status == VM_STOPPED || record->status == VM_FAILED))
			continue;
		job->vms[job->request.vm_count++] = (struct preflight_vm){
			.id = keep(job, record->id),
			.pid = record->pid,
			.preserve = record->preserve,
			.keeps_devices = record->keeps_devices,
			.phase = record->status == VM_CONNECTED ? agent_phase_name(record->phase)
								: vm_status_name(record->status),
			.binary = keep(job, record->binary),
			.version = keep(job, record->version),
		};
	}
}

static const char *read_path(struct json_reader *r, const char *key, bool required)
{
	const char *path = json_get_string(r, key, NULL, PATH_MAX);

	if (path ? path[0] != '/' : required)
		problem_add(r->problems, "%s: must be an absolute path", key);
	return path;
}

static int read_request(json_t *body, struct preflight_request *request, struct error *err)
{
	struct problems problems = {0};
	struct json_reader r;

	json_reader_init(&r, body, "", &problems);
	request->kernel = read_path(&r, "kernel", true);
	request->initrd = read_path(&r, "initrd", false);
	request->running_kernel = read_path(&r, "running-kernel", false);
	request->cmdline = json_get_string(&r, "cmdline", NULL, KEXEC_CMDLINE_MAX);
	json_reader_end(&r);
	return problems_result(&problems, err);
}

static struct preflight_job *job_new(struct luod *luod, const struct preflight_request *request,
				     json_t *body)
{
	struct preflight_job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->luod = luod;
	job->request = *request;
	job->texts = json_array();
	job->vms = calloc(luod->registry.vm_count + 1, sizeof(*job->vms));
	if (!job->texts || !job->vms) {
		job_free(job);
		return NULL;
	}
	/* Its strings are those of the request. */
	json_array_append(job->texts, body);
	job->request.vms = job->vms;
	copy_vms(job);
	return job;
}

int api_preflight(struct luod *luod, const struct http_request *request,
		  struct http_response *response _unused_, struct error *err)
{
	struct preflight_request asked = {0};
	struct preflight_job *job;
	int r = read_request(request->body, &asked, err);

	if (r < 0)
		return r;
	if (luod->preflights)
		return error_set(err, -EUSERS,
				 "preflight: another one is under way; try again when it is done");
	job = job_new(luod, &asked, request->body);
	if (!job)
		return error_set(err, -ENOMEM, "preflight: out of memory");
	r = work_start(luod->loop, "preflight", on_run, on_done, job, err);
	if (r < 0) {
		job_free(job);
		return r;
	}
	luod->preflights++;
	http_set_slot(request->exchange, &job->exchange);
	return HTTP_PENDING;
}
