/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers that routes.c names. */
#ifndef HOLDFAST_LUOD_API_H
#define HOLDFAST_LUOD_API_H

#include "luo/luod/http.h"

http_handler api_dashboard, api_openapi;
http_handler api_health, api_metrics, api_events, api_timeline;
http_handler api_preflight;
http_handler api_updates, api_update, api_update_begin, api_update_abort;
http_handler api_update_continue;
http_handler api_vms, api_vm, api_vm_create, api_vm_forget, api_vm_events, api_vm_owner;
http_handler api_vm_adopt;
http_handler api_vm_power_button, api_vm_resume, api_vm_shutdown, api_vm_start, api_vm_upgrade;

/* ---- Between the handlers. ---- */

/* Upper bound of every timeout that a client may ask for, milliseconds. */
#define API_TIMEOUT_MAX_MS 3600000U

/* The VM that the path names; -ENOENT: there is none, or the caller may not see it. Borrowed. */
int api_find_vm(struct luod *luod, const struct http_request *request, struct vm **ret,
		struct error *err);
/* Answers with that status and the VM as it is now. -ENOMEM. */
int api_answer_vm(struct luod *luod, const struct vm *vm, unsigned int status,
		  struct http_response *response, struct error *err);

#endif
