/* SPDX-License-Identifier: Apache-2.0 */
/* The host API: what there is. docs/api/luod.yaml describes it for users. */
#include "luo/luod/api.h"

const struct http_route http_routes[] = {
	{"GET", "/", ACCESS_ANY, false, api_dashboard},
	{"GET", "/openapi.json", ACCESS_ANY, false, api_openapi},
	{"GET", "/healthz", ACCESS_ANY, false, api_health},
	{"GET", "/metrics", ACCESS_READ, false, api_metrics},
	{"GET", "/api/v1/events", ACCESS_ANY, false, api_events},
	{"GET", "/api/v1/timeline", ACCESS_ANY, false, api_timeline},
	{"POST", "/api/v1/preflight", ACCESS_ADMIN, true, api_preflight},
	{"GET", "/api/v1/updates", ACCESS_ANY, false, api_updates},
	{"POST", "/api/v1/updates", ACCESS_ADMIN, true, api_update_begin},
	{"GET", "/api/v1/updates/{id}", ACCESS_ANY, false, api_update},
	{"DELETE", "/api/v1/updates/{id}", ACCESS_ADMIN, false, api_update_abort},
	{"PUT", "/api/v1/updates/{id}/continue", ACCESS_ADMIN, false, api_update_continue},
	{"GET", "/api/v1/vms", ACCESS_ANY, false, api_vms},
	{"POST", "/api/v1/vms", ACCESS_ADMIN, true, api_vm_create},
	{"GET", "/api/v1/vms/{id}", ACCESS_VM, false, api_vm},
	{"DELETE", "/api/v1/vms/{id}", ACCESS_ADMIN, false, api_vm_forget},
	{"POST", "/api/v1/vms/{id}/adopt", ACCESS_ADMIN, true, api_vm_adopt},
	{"GET", "/api/v1/vms/{id}/events", ACCESS_VM, false, api_vm_events},
	{"PUT", "/api/v1/vms/{id}/owner", ACCESS_ADMIN, true, api_vm_owner},
	{"PUT", "/api/v1/vms/{id}/power-button", ACCESS_VM, false, api_vm_power_button},
	{"PUT", "/api/v1/vms/{id}/resume", ACCESS_ADMIN, true, api_vm_resume},
	{"PUT", "/api/v1/vms/{id}/shutdown", ACCESS_VM, false, api_vm_shutdown},
	{"PUT", "/api/v1/vms/{id}/start", ACCESS_VM, false, api_vm_start},
	{"POST", "/api/v1/vms/{id}/upgrade", ACCESS_ADMIN, true, api_vm_upgrade},
};
const unsigned int http_route_count = ARRAY_SIZE(http_routes);
