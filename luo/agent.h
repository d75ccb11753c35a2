/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What vmm and luod say to each other: JSON messages on a SOCK_SEQPACKET UNIX socket (base/sock.h).
 * The vmm connects and says hello; from then on luod asks, one request at a time, and the vmm
 * answers. Either side may be restarted: the vmm connects again and says hello again with the phase
 * it is in.
 *
 *   vmm:  {"type":"hello", "id":"web1", "pid":42, "version":"0.1.0", "phase":"running",
 * "preserve":true, "memory":1073741824, "cpus":2, "api-socket":"/run/...", "tsc-khz":2100000,
 * "config":{...}} luod: {"type":"request", "seq":7, "verb":"prepare"}            + session
 * descriptor (outgoing) luod: {"type":"request", "seq":8, "verb":"freeze", "timeout-ms":2000} luod:
 * {"type":"request", "seq":9, "verb":"thaw"}               frozen -> prepared luod:
 * {"type":"request", "seq":9, "verb":"abort"}              prepared or frozen -> running, session
 * given up luod: {"type":"request", "seq":1, "verb":"resume"}             + session descriptor
 * (retrieved) luod: {"type":"request", "seq":2, "verb":"finish"} luod: {"type":"request", "seq":3,
 * "verb":"power-button"} | "shutdown" vmm:  {"type":"reply", "seq":7, "ok":true,
 * "phase":"prepared", "timeline":[...]} vmm:  {"type":"reply", "seq":7, "ok":false,
 * "phase":"running", "error":{"errno":12, "message":"..."}} vmm:  {"type":"event", "event":"phase",
 * "phase":"running"} | {"type":"event","event":"exit","reason":"poweroff"}
 *
 * "thaw": frozen -> prepared: the vCPUs run, the files stay preserved, freeze may follow again.
 * Phases by name: "running", "preparing", "prepared", "freezing", "frozen", "waiting" (started with
 * --resume, no session yet), "loaded", "resumed" (runs, not finished), and "failed".
 */
#ifndef HOLDFAST_LUO_AGENT_H
#define HOLDFAST_LUO_AGENT_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"

#define AGENT_SOCKET "/run/holdfast/luod.sock"

enum agent_verb {
	AGENT_PREPARE,
	AGENT_FREEZE,
	AGENT_THAW,
	AGENT_ABORT,
	AGENT_RESUME,
	AGENT_FINISH,
	AGENT_POWER_BUTTON,
	AGENT_SHUTDOWN,
	AGENT_VERB_MAX,
};

const char *agent_verb_name(enum agent_verb verb);
/* -EINVAL: no such verb. */
int agent_verb_parse(const char *name, enum agent_verb *ret);

/* Checked views of messages; strings are borrowed from the document. */
struct agent_request {
	uint32_t seq;
	enum agent_verb verb;
	uint32_t timeout_ms; /* 0: none given */
};

json_t *agent_request_to_json(const struct agent_request *request);
int agent_request_from_json(json_t *message, struct agent_request *ret, struct error *err);

#endif
