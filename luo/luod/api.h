/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers that routes.c names. */
#ifndef HOLDFAST_LUOD_API_H
#define HOLDFAST_LUOD_API_H

#include "luo/luod/http.h"

http_handler api_dashboard, api_openapi;
http_handler api_health, api_metrics, api_events, api_timeline;
http_handler api_preflight;
http_handler api_updates, api_update, api_update_begin, api_update_abort;
http_handler api_vms, api_vm, api_vm_create, api_vm_forget, api_vm_events, api_vm_owner;
http_handler api_vm_power_button, api_vm_resume, api_vm_shutdown, api_vm_start, api_vm_upgrade;

#endif
