/* SPDX-License-Identifier: Apache-2.0 */
/* Documents that are built in (tools/lib/embed.py): their text and its length. */
#ifndef HOLDFAST_LUOD_EMBEDDED_H
#define HOLDFAST_LUOD_EMBEDDED_H

#include <stddef.h>

/* docs/api/luod.yaml as JSON */
extern const char embedded_openapi[];
extern const size_t embedded_openapi_size;

/* luo/luod/dashboard.html, and the Content-Security-Policy that goes with it */
extern const char embedded_dashboard[], embedded_dashboard_policy[];
extern const size_t embedded_dashboard_size;

#endif
