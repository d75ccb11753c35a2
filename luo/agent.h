/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What vmm and luod say to each other: JSON messages on a SOCK_SEQPACKET UNIX socket (base/sock.h).
 * The vmm connects and says hello; from then on luod asks, one request at a time, and the vmm
 * answers. Either side may be restarted: the vmm connects again and says hello again with the phase
 * it is in; and on the same connection when its configuration has changed. A new luod that meets a
 * prepared or frozen VM aborts it (the update died with the old luod), and finishes one that is
 * resumed.
 *
 *   vmm   {"type":"hello", "id":"web1", "pid":42, "version":"0.1.0", "phase":"running",
 *          "preserve":true, "memory":1073741824, "cpus":2, "api-socket":"/run/...",
 *          "tsc-khz":2100000, "config":{...}}
 *   luod  {"type":"request", "seq":7, "verb":"prepare"}      + session descriptor (outgoing)
 *   luod  {"type":"request", "seq":8, "verb":"freeze", "timeout-ms":2000}
 *   luod  {"type":"request", "seq":9, "verb":"thaw"}         frozen -> prepared
 *   luod  {"type":"request", "seq":9, "verb":"abort"}        prepared or frozen -> running, the
 *                                                            session given up
 *   luod  {"type":"request", "seq":1, "verb":"resume"}       + session descriptor (retrieved)
 *   luod  {"type":"request", "seq":2, "verb":"finish"}
 *   luod  {"type":"request", "seq":3, "verb":"power-button"} | "shutdown"
 *
 * A vmm that failed to resume keeps the session: "resume" without a descriptor is another try.
 *
 * An exchange of the vmm on the same kernel hands descriptors over by the tokens of luo/tokens.h,
 * in the order of "tokens":
 *
 *   luod  {"type":"request", "seq":7, "verb":"export"}       to the old one: running -> prepared
 *   vmm   {"type":"reply", ..., "tokens":[0,256]}            + as many descriptors
 *   luod  {"type":"request", "seq":1, "verb":"adopt",        to the new one, + the same, while the
 *          "tokens":[0,256]}                                 guest runs: waiting -> adopted
 *   luod  {"type":"request", "seq":8, "verb":"freeze"}       to the old one
 *   luod  {"type":"request", "seq":9, "verb":"release"}      to the old one: frozen -> released,
 *                                                            its machine is gone
 *   luod  {"type":"request", "seq":2, "verb":"resume"}       without a descriptor: to the new one,
 *                                                            or back to the one that has released
 *
 * A guest that no kernel can hand over goes through a file:
 *
 *   luod  {"type":"request", "seq":7, "verb":"snapshot",     + an empty file: running -> frozen
 *          "timeout-ms":2000}                               with all of the guest in it; after an
 *                                                           "abort" it goes on
 *   luod  {"type":"request", "seq":1, "verb":"restore"}      + the file: waiting -> resumed
 *
 * What a vmm answers and tells by itself:
 *
 *   vmm   {"type":"reply", "seq":7, "ok":true, "phase":"prepared", "timeline":[...]}
 *   vmm   {"type":"reply", "seq":7, "ok":false, "phase":"running",
 *          "error":{"errno":12, "message":"..."}}
 *   vmm   {"type":"event", "event":"phase", "phase":"running"}
 *   vmm   {"type":"event", "event":"exit", "reason":"poweroff"}
 *   vmm   {"type":"event", "event":"device", "device":"nic0", "host":"0000:65:00.0",
 *          "what":"error", "message":"..."}                  of a device that is passed through
 *
 * "thaw": frozen -> prepared: the vCPUs run, the files stay preserved, freeze may follow again.
 * "abort" of a VM that is running already succeeds and changes nothing. Requests are answered in
 * order; one that comes while another is under way waits in the socket. A reply to "resume" comes
 * when the guest runs ("resumed").
 *
 * In a hello "id", "pid" and "phase" are required. Both sides refuse unknown keys.
 */
#ifndef HOLDFAST_LUO_AGENT_H
#define HOLDFAST_LUO_AGENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "luo/timeline.h"

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
	AGENT_EXPORT,
	AGENT_ADOPT,
	AGENT_RELEASE,
	AGENT_SNAPSHOT,
	AGENT_RESTORE,
	AGENT_VERB_MAX,
};

const char *agent_verb_name(enum agent_verb verb);
/* -EINVAL: no such verb. */
int agent_verb_parse(const char *name, enum agent_verb *ret);

/* Where a vmm stands, as it says itself. */
enum agent_phase {
	AGENT_PHASE_RUNNING,
	AGENT_PHASE_PREPARING,
	AGENT_PHASE_PREPARED,
	AGENT_PHASE_FREEZING,
	AGENT_PHASE_FROZEN,
	AGENT_PHASE_WAITING, /* started with --resume, no session yet */
	AGENT_PHASE_LOADED,
	AGENT_PHASE_RESUMED, /* runs, not finished */
	AGENT_PHASE_FAILED,
	AGENT_PHASE_ADOPTED,  /* has what the old vmm of an exchange exported; its guest runs there
			       */
	AGENT_PHASE_RELEASED, /* the old one: the guest is in the exported files alone */
	AGENT_PHASE_MAX,
};

const char *agent_phase_name(enum agent_phase phase);
/* -EINVAL: no such phase. */
int agent_phase_parse(const char *name, enum agent_phase *ret);

enum agent_message_type {
	AGENT_HELLO,
	AGENT_REQUEST,
	AGENT_REPLY,
	AGENT_EVENT,
};

/*
 * Checked views of messages. Strings and documents in them are borrowed: from the message when
 * read, from the caller when built. *_to_json() give a new reference, NULL when out of memory;
 * *_from_json() name everything that is wrong at once and leave *ret alone then (-EBADMSG).
 */
struct agent_hello {
	const char *id;	     /* 1 to LUO_VM_ID_MAX bytes; see agent_id_is_valid() */
	uint32_t pid;	     /* of the vmm */
	const char *version; /* "" when not told */
	enum agent_phase phase;
	bool preserve;		/* may be taken through an update */
	uint64_t memory;	/* bytes, 0 when not told (waiting) */
	uint32_t cpus;		/* 0 when not told */
	const char *api_socket; /* "" for none */
	uint64_t tsc_khz;	/* 0 when not told */
	json_t *config;		/* NULL when not told */
};

/* What the descriptors beside a message are, in their order. */
#define AGENT_TOKENS_MAX 32

struct agent_tokens {
	unsigned int count;
	uint64_t token[AGENT_TOKENS_MAX];
};

struct agent_request {
	uint32_t seq;
	enum agent_verb verb;
	uint32_t timeout_ms;	    /* 0: none given */
	struct agent_tokens tokens; /* of "adopt" */
};

struct agent_reply {
	uint32_t seq;
	bool ok;
	enum agent_phase phase;
	int code;	     /* negative errno, 0 when ok */
	const char *message; /* for the user, "" when ok */
	bool has_timeline;
	struct timeline timeline;
	struct agent_tokens tokens; /* to "export" */
};

enum agent_event_kind {
	AGENT_EVENT_PHASE,
	AGENT_EVENT_EXIT,
	AGENT_EVENT_DEVICE,
};

/* What has happened to a device of the host that a VM has. */
enum agent_device_what {
	AGENT_DEVICE_ERROR,	 /* it has failed: the guest is asked to give it up */
	AGENT_DEVICE_WANTED,	 /* the host wants it back: the same */
	AGENT_DEVICE_STAYS,	 /* the guest has not given it up, and keeps it */
	AGENT_DEVICE_TAKEN_AWAY, /* the guest has not given it up, and is without it */
	AGENT_DEVICE_GONE,	 /* the VM is without it */
	AGENT_DEVICE_WHAT_MAX,
};

const char *agent_device_what_name(enum agent_device_what what);

struct agent_device {
	const char *id;	  /* in the VM's configuration; 1 to 63 bytes */
	const char *host; /* its PCI address there; "" when not told */
	enum agent_device_what what;
	const char *message; /* for the user */
};

/* With the NUL: a word, and the message of an error. */
#define AGENT_REASON_MAX (ERROR_MESSAGE_MAX + 32)

struct agent_event {
	enum agent_event_kind kind;
	enum agent_phase phase; /* of "phase" */
	const char *reason;	/* of "exit": "poweroff", "shutdown", "crash: WHY" ...; shorter than
				   AGENT_REASON_MAX */
	struct agent_device device; /* of "device" */
};

/* Letters, digits, '-', '_', '.'; starts with a letter or digit; at most LUO_VM_ID_MAX bytes. */
bool agent_id_is_valid(const char *id);

/* What kind of message it is; -EBADMSG for none of them. */
int agent_message_type(const json_t *message, enum agent_message_type *ret, struct error *err);

json_t *agent_hello_to_json(const struct agent_hello *hello);
int agent_hello_from_json(json_t *message, struct agent_hello *ret, struct error *err);

json_t *agent_request_to_json(const struct agent_request *request);
int agent_request_from_json(json_t *message, struct agent_request *ret, struct error *err);

json_t *agent_reply_to_json(const struct agent_reply *reply);
int agent_reply_from_json(json_t *message, struct agent_reply *ret, struct error *err);

json_t *agent_event_to_json(const struct agent_event *event);
int agent_event_from_json(json_t *message, struct agent_event *ret, struct error *err);

#endif
