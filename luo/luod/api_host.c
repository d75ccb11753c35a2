/* SPDX-License-Identifier: Apache-2.0 */
/* /, /openapi.json, /healthz, /metrics and /api/v1/events */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/version.h"
#include "luo/client.h"
#include "luo/luod/api.h"
#include "luo/luod/embedded.h"
#include "luo/luod/metrics_text.h"
#include "luo/luod/update.h"

int api_openapi(struct luod *luod _unused_, const struct http_request *request _unused_,
		struct http_response *response, struct error *err _unused_)
{
	response->constant = embedded_openapi;
	response->length = embedded_openapi_size;
	response->type = "application/json";
	return 0;
}

int api_dashboard(struct luod *luod _unused_, const struct http_request *request _unused_,
		  struct http_response *response, struct error *err _unused_)
{
	response->constant = embedded_dashboard;
	response->length = embedded_dashboard_size;
	response->type = "text/html; charset=utf-8";
	response->policy = embedded_dashboard_policy;
	return 0;
}

int api_metrics(struct luod *luod, const struct http_request *request _unused_,
		struct http_response *response, struct error *err)
{
	/* The type that Prometheus' text format 0.0.4 has. */
	response->type = "text/plain; version=0.0.4; charset=utf-8";
	if (metrics_text(&luod->registry, &response->text, &response->length) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	return 0;
}

int api_events(struct luod *luod _unused_, const struct http_request *request _unused_,
	       struct http_response *response, struct error *err _unused_)
{
	response->stream = true;
	return 0;
}

int api_health(struct luod *luod, const struct http_request *request,
	       struct http_response *response, struct error *err)
{
	struct error why = ERROR_INIT;
	struct utsname uts = {0};
	json_t *live_update;
	/* No wait: a client polls this, and another opener is no sickness. */
	int r = luo_probe(0, &why);
	bool available = r == 0 || r == -EBUSY;
	int vms = 0;

	uname(&uts);
	live_update = json_pack("{s:b}", "available", available);
	if (!available)
		json_object_set_new(live_update, "why", json_string(error_message(&why)));
	for (const struct vm_record *record = luod->registry.vms; record; record = record->next)
		vms += caller_may_see(request->caller, record->owner);
	response->body = json_pack("{s:s, s:s, s:s, s:o, s:i, s:I}", "status", "ok", "version",
				   HOLDFAST_VERSION, "kernel", uts.release, "live-update",
				   live_update, "vms", vms, "revision", (json_int_t)luod->revision);
	if (!response->body)
		return error_set(err, -ENOMEM, "out of memory");
	if (luod->registry.update.id[0])
		json_object_set_new(response->body, "update",
				    json_pack("{s:s, s:s, s:b}", "id", luod->registry.update.id,
					      "state",
					      update_state_name(luod->registry.update.state),
					      "ended", update_has_ended(&luod->registry.update)));
	return 0;
}
