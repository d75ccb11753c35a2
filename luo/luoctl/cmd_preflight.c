/* SPDX-License-Identifier: Apache-2.0 */
/* luoctl preflight: whether an update can be expected to succeed. luoctl update asks the same. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/luoctl/luoctl.h"
#include "luo/luoctl/preflight.h"

/* One that has ended is no part of an update; one whose memory waits for a retry is. */
static bool has_ended(const json_t *vm)
{
	const char *phase = doc_string(vm, "phase");

	return !json_is_true(json_object_get(vm, "connected")) &&
	       !json_is_true(json_object_get(vm, "resume")) &&
	       (strcmp(phase, "stopped") == 0 || strcmp(phase, "failed") == 0);
}

/* The VMs that luod knows; *doc keeps their strings. */
static int load_vms(const struct ctl *ctl, bool without, struct preflight_vm **ret,
		    size_t *ret_count, json_t **doc, struct error *err)
{
	struct preflight_vm *vms;
	json_t *array, *vm;
	size_t i;
	int r = api_call(ctl, "GET", "/api/v1/vms", NULL, doc, err);

	if (r < 0)
		return r;
	*ret_count = 0;
	array = json_object_get(*doc, "vms");
	vms = calloc(json_array_size(array) + 1, sizeof(*vms));
	if (!vms)
		return error_set(err, -ENOMEM, "preflight: out of memory");
	json_array_foreach(array, i, vm)
	{
		if (has_ended(vm) || (without && !json_is_true(json_object_get(vm, "preserve"))))
			continue;
		vms[(*ret_count)++] = (struct preflight_vm){
			.id = doc_string(vm, "id"),
			.pid = (int)doc_integer(vm, "pid"),
			.preserve = json_is_true(json_object_get(vm, "preserve")),
			.keeps_devices = json_is_true(json_object_get(vm, "keeps-devices")),
			.phase = doc_string(vm, "phase"),
			.binary = doc_string(vm, "vmm"),
			.version = doc_string(vm, "version"),
		};
	}
	*ret = vms;
	return 0;
}

static enum severity severity_of(const json_t *finding)
{
	const char *name = doc_string(finding, "severity");

	if (strcmp(name, severity_name(SEVERITY_INFO)) == 0)
		return SEVERITY_INFO;
	return strcmp(name, severity_name(SEVERITY_WARNING)) == 0 ? SEVERITY_WARNING
								  : SEVERITY_ERROR;
}

/* Over the network luod looks: files, kernel and VMs are those of its host. *doc keeps the codes.
 */
static int ask_luod(const struct ctl *ctl, const struct preflight_request *request,
		    struct report *report, json_t **doc, struct error *err)
{
	_cleanup_json_ json_t *body = json_pack(
		"{s:s, s:s*, s:s*, s:s*}", "kernel", request->kernel, "initrd", request->initrd,
		"cmdline", request->cmdline, "running-kernel", request->running_kernel);
	json_t *finding;
	size_t i;
	int r = api_call(ctl, "POST", "/api/v1/preflight", body, doc, err);

	if (r < 0)
		return r;
	json_array_foreach(json_object_get(*doc, "findings"), i, finding)
	{
		struct finding *f = report_add(
			report, severity_of(finding), doc_string(finding, "code"),
			doc_string(finding, "object"), "%s", doc_string(finding, "reason"));

		report_way_out(f, "%s", doc_string(finding, "way-out"));
	}
	return 0;
}

int ctl_preflight(const struct ctl *ctl, bool need_luod, bool without,
		  struct preflight_request *request, struct report *report, json_t **keep,
		  struct error *err)
{
	_cleanup_free_ struct preflight_vm *vms = NULL;
	_cleanup_json_ json_t *doc = NULL;
	struct error why = ERROR_INIT;
	int r = 0;

	if (ctl->url)
		return ask_luod(ctl, request, report, keep, err);
	/* Files of another host: its VMs cannot be asked for. */
	if (!request->root)
		r = load_vms(ctl, without, &vms, &request->vm_count, &doc, &why);
	if (r < 0 && need_luod) {
		*err = why;
		return r;
	}
	if (r < 0)
		report_way_out(report_add(report, SEVERITY_WARNING, "luod-unreachable", "luod",
					  "%s: no VM was looked at", error_message(&why)),
			       "start luod, or name its socket with --socket");
	request->vms = vms;
	r = preflight_run(request, report, err);
	request->vms = NULL;
	request->vm_count = 0;
	return r;
}

int cmd_preflight(const struct ctl *ctl, int argc, char **argv)
{
	struct preflight_request request = {0};
	const struct ctl_option options[] = {
		{"kernel", &request.kernel, NULL},
		{"initrd", &request.initrd, NULL},
		{"cmdline", &request.cmdline, NULL},
		{"running-kernel", &request.running_kernel, NULL},
		{"root", &request.root, NULL},
	};
	_cleanup_report_ struct report report = {0};
	_cleanup_json_ json_t *keep = NULL;
	struct error err = ERROR_INIT;

	if (ctl_options_only(argc, argv, options, ARRAY_SIZE(options)) != CTL_OK)
		return CTL_USAGE;
	if (!request.kernel)
		return ctl_usage(argv[0], "--kernel: name the kernel to go to");
	if (ctl->url && request.root)
		return ctl_usage(argv[0], "--root and --url exclude each other");
	if (ctl_preflight(ctl, false, false, &request, &report, &keep, &err) < 0)
		return ctl_fail(argv[0], &err);
	if (ctl->json) {
		_cleanup_json_ json_t *doc = report_to_json(&report);

		ctl_print_json(doc);
	} else {
		report_print(&report, stdout);
	}
	return report_ok(&report) ? CTL_OK : CTL_FAILED;
}
