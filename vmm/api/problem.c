/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "base/util.h"
#include "vmm/api/request.h"

void api_problem(struct api_request *req, unsigned int status, const char *kind, const char *title,
		 const char *fmt, ...)
{
	char detail[ERROR_MESSAGE_MAX];
	json_t *document;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	/* "?": what a client sent is repeated in the detail, and may be no UTF-8. */
	document =
		json_pack("{so ss si ss?}", "type", json_sprintf("urn:holdfast:problem:%s", kind),
			  "title", title, "status", (int)status, "detail", detail);
	if (!document)
		document = json_pack("{so ss si}", "type",
				     json_sprintf("urn:holdfast:problem:%s", kind), "title", title,
				     "status", (int)status);
	if (document && !req->api->closing)
		json_object_set_new(document, "phase",
				    json_string(req->api->backend->phase(req->api->opaque)));
	req->is_problem = true;
	api_answer(req, status, document);
}

void api_problem_of_error(struct api_request *req, int code, const struct error *err)
{
	static const struct {
		int code;
		unsigned int status;
		const char *kind, *title;
	} kinds[] = {
		{-EBUSY, 409, "wrong-phase", "Not possible in this phase"},
		{-ESRCH, 409, "no-vm", "There is no VM"},
		{-EEXIST, 409, "exists", "There is one already"},
		{-ENOSPC, 503, "no-room", "This host has no room for it"},
		{-EPERM, 409, "driven-by-agent", "luod drives the updates of this VM"},
		{-EOPNOTSUPP, 409, "not-preservable", "This VM cannot be preserved"},
		{-ECANCELED, 409, "cancelled", "Something else came in between"},
		{-ETIMEDOUT, 503, "timeout", "Not done in time"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i].code == code) {
			api_problem(req, kinds[i].status, kinds[i].kind, kinds[i].title, "%s",
				    error_message(err));
			return;
		}
	}
	api_problem(req, 500, "failed", "It was tried and failed", "%s", error_message(err));
}
