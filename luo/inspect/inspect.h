/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What there is to see of hand-overs on a host or in a dump, gathered for people and for scripts.
 * Nothing is guessed: what cannot be read stands in the notes, with the reason.
 */
#ifndef HOLDFAST_LUO_INSPECT_H
#define HOLDFAST_LUO_INSPECT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "luo/abi/decode.h"
#include "luo/abi/scan.h"

enum inspect_kind {
	INSPECT_OUTGOING, /* what the running kernel will hand to the next one */
	INSPECT_INCOMING, /* what the running kernel was given */
	INSPECT_FOUND,	  /* found in a dump */
};

const char *inspect_kind_name(enum inspect_kind kind);

struct inspect_note {
	char text[ERROR_MESSAGE_MAX];
};

struct inspect_notes {
	struct inspect_note *list;
	size_t count;
};

#define INSPECT_SCRATCH_MAX 64U

struct inspect_state {
	enum inspect_kind kind;
	char source[128];
	uint64_t fdt_pa; /* 0: not known */
	bool newest;	 /* of several in a dump: the one that was written last */
	bool handed_over;
	/* LUO's part was read from pages that the kernel has given back: as it was at boot. */
	bool given_back;
	struct abi_kho *kho; /* NULL: could not be read */
	struct kho_scratch_ser scratch[INSPECT_SCRATCH_MAX];
	size_t scratch_count;
	struct inspect_notes notes;
	int code; /* 0, or the errno of the first part that is broken */
};

/* A process that holds a session open: while it does, the session lives. */
struct inspect_holder {
	char session[LUO_NAME_SIZE];
	int pid;
	char command[32];
};

struct inspect {
	char from[256]; /* "this host, /proc/kcore", or a file */
	bool live;
	uint64_t memory; /* bytes that can be read; 0: none */
	uint64_t scanned;
	bool scan_complete;
	struct inspect_state *states;
	size_t state_count;
	struct inspect_holder *holders;
	size_t holder_count;
	struct inspect_notes notes;
};

struct inspect_options {
	const char *from;    /* NULL: this host, through /proc/kcore; "kcore", "mem", or a file */
	const char *root;    /* where /proc and /sys are looked for: "" or a folder */
	uint64_t scan_limit; /* bytes; UINT64_MAX: all */
};

/*
 * Looks. *ret is owned by the caller. Fails only when there is nothing to look at: a dump that
 * cannot be read, or a host without anything of KHO. Broken structures are in the states' notes.
 */
int inspect_gather(const struct inspect_options *options, struct inspect **ret, struct error *err);
void inspect_free(struct inspect *inspect);

static inline void inspect_freep(struct inspect **inspect)
{
	inspect_free(*inspect);
}

#define _cleanup_inspect_ __attribute__((cleanup(inspect_freep)))

/* The errno of the newest state that is broken, or 0. */
int inspect_result(const struct inspect *inspect);

/* For people. extents: every extent of every memfd too. */
void inspect_print(const struct inspect *inspect, bool extents, FILE *out);
/* For scripts; docs/abi.md has the form. New reference, NULL when out of memory. */
json_t *inspect_to_json(const struct inspect *inspect);

/* "state", "RAM 0", "vfio 1": what a token means in a session of ours; "" in others. */
const char *inspect_token_class(const char *session, uint64_t token, char buf[32]);
/* "1.5 GiB"; without a fraction where it is a whole number. */
const char *inspect_size(uint64_t bytes, char buf[32]);

/* ---- For the gatherers. ---- */

int inspect_live(const struct inspect_options *options, struct inspect *inspect, struct error *err);
int inspect_dump(const struct inspect_options *options, struct inspect *inspect, struct error *err);
int inspect_find_holders(const char *root, struct inspect *inspect);
/* NULL: out of memory. The address is good until the next call. */
struct inspect_state *inspect_add_state(struct inspect *inspect, enum inspect_kind kind);
/* A note that finds no memory is lost. */
void inspect_note(struct inspect_notes *notes, const char *fmt, ...) _printf_(2, 3);
/* How far the search went, and a note of what could not be read. */
void inspect_take_scan(struct inspect *inspect, const struct abi_scan *scan);
/* Everything that hangs on the root at fdt_pa. */
void inspect_read_state(struct inspect_state *state, const struct physmem *mem, uint64_t fdt_pa);
void inspect_read_scratch(struct inspect_state *state, const struct physmem *mem, uint64_t pa,
			  uint64_t size);

#endif
