/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOLDFAST_VMM_API_EMBEDDED_H
#define HOLDFAST_VMM_API_EMBEDDED_H

/* docs/api/vmm.yaml as JSON (tools/lib/embed.py) */
extern const char embedded_openapi[];

#endif
