/* SPDX-License-Identifier: Apache-2.0 */
/* The host API: what there is. luod(8) describes it for users. */
#include "luo/luod/api.h"

const struct http_route http_routes[] = {
	{"GET", "/healthz", false, api_health},
	{"GET", "/api/v1/timeline", false, api_timeline},
	{"GET", "/api/v1/updates", false, api_updates},
	{"POST", "/api/v1/updates", true, api_update_begin},
	{"GET", "/api/v1/updates/{id}", false, api_update},
	{"DELETE", "/api/v1/updates/{id}", false, api_update_abort},
	{"GET", "/api/v1/vms", false, api_vms},
	{"POST", "/api/v1/vms", true, api_vm_start},
	{"GET", "/api/v1/vms/{id}", false, api_vm},
	{"DELETE", "/api/v1/vms/{id}", false, api_vm_forget},
	{"PUT", "/api/v1/vms/{id}/power-button", false, api_vm_power_button},
	{"PUT", "/api/v1/vms/{id}/resume", true, api_vm_resume},
	{"PUT", "/api/v1/vms/{id}/shutdown", false, api_vm_shutdown},
	{"POST", "/api/v1/vms/{id}/upgrade", true, api_vm_upgrade},
};
const unsigned int http_route_count = ARRAY_SIZE(http_routes);
