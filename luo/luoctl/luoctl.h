/* SPDX-License-Identifier: Apache-2.0 */
/* What the sub-commands of luoctl share. One file each; main.c has the table. */
#ifndef HOLDFAST_LUOCTL_LUOCTL_H
#define HOLDFAST_LUOCTL_LUOCTL_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/util.h"

static inline void json_dropp(json_t **doc)
{
	json_decref(*doc);
}

/* A document that this scope owns. */
#define _cleanup_json_ _cleanup_(json_dropp)

/* Exit statuses; luoctl(1) describes them. */
enum {
	CTL_OK = 0,
	CTL_FAILED = 1,	     /* refused, or did not come to a good end */
	CTL_USAGE = 2,	     /* the command line is wrong */
	CTL_UNREACHABLE = 3, /* no luod answers */
	CTL_PARTIAL = 4,     /* an update after which not every VM goes on */
};

struct ctl {
	const char *socket;		 /* of luod's HTTP API */
	const char *url;		 /* instead: "https://host:port"; NULL: the socket */
	const char *cert, *key, *cacert; /* PEM files for that; NULL: none */
	bool json;			 /* for scripts: documents instead of tables */
	struct api_client *client;	 /* borrowed */
};

struct ctl_command {
	const char *name;
	const char *arguments; /* for the usage line */
	const char *summary;
	/* argv[0] is the command's name; global options are gone from it. Returns an exit status.
	 */
	int (*run)(const struct ctl *ctl, int argc, char **argv);
};

int cmd_abort(const struct ctl *ctl, int argc, char **argv);
int cmd_adopt(const struct ctl *ctl, int argc, char **argv);
int cmd_continue(const struct ctl *ctl, int argc, char **argv);
int cmd_create(const struct ctl *ctl, int argc, char **argv);
int cmd_describe(const struct ctl *ctl, int argc, char **argv);
int cmd_device(const struct ctl *ctl, int argc, char **argv);
int cmd_events(const struct ctl *ctl, int argc, char **argv);
int cmd_forget(const struct ctl *ctl, int argc, char **argv);
int cmd_history(const struct ctl *ctl, int argc, char **argv);
int cmd_inspect(const struct ctl *ctl, int argc, char **argv);
int cmd_kexec(const struct ctl *ctl, int argc, char **argv);
int cmd_list(const struct ctl *ctl, int argc, char **argv);
int cmd_metrics(const struct ctl *ctl, int argc, char **argv);
int cmd_owner(const struct ctl *ctl, int argc, char **argv);
int cmd_preflight(const struct ctl *ctl, int argc, char **argv);
int cmd_resume(const struct ctl *ctl, int argc, char **argv);
int cmd_run(const struct ctl *ctl, int argc, char **argv);
int cmd_start(const struct ctl *ctl, int argc, char **argv);
int cmd_status(const struct ctl *ctl, int argc, char **argv);
int cmd_stop(const struct ctl *ctl, int argc, char **argv);
int cmd_timeline(const struct ctl *ctl, int argc, char **argv);
int cmd_update(const struct ctl *ctl, int argc, char **argv);
int cmd_upgrade_vmm(const struct ctl *ctl, int argc, char **argv);

/* What api_call() and the others of ctl.client keep; one free() ends it. NULL: out of memory, which
 * they tell. */
struct api_client *api_client_new(void);

/*
 * One call of the API. body is borrowed, NULL for none. *ret is a new reference, NULL when the
 * answer has no body. -ECONNREFUSED: no luod answers. -ENOENT: libcurl is not installed. Else the
 * problem's own words and code -EREMOTEIO.
 */
int api_call(const struct ctl *ctl, const char *method, const char *path, json_t *body,
	     json_t **ret, struct error *err);

/* The same for a text. *ret is owned by the caller. */
int api_text(const struct ctl *ctl, const char *path, char **ret, struct error *err);

/*
 * Reads events until fn returns something else than 0, which is returned, or the connection ends:
 * -EPIPE. last is the id of the last event: sent when not "", and kept up to date. errors as
 * api_call().
 */
#define EVENT_ID_MAX 64
typedef int api_event_fn(void *opaque, const char *kind, json_t *data);
int api_stream(const struct ctl *ctl, const char *path, char last[EVENT_ID_MAX], api_event_fn *fn,
	       void *opaque, struct error *err);

/* Prints the message and gives the exit status that goes with it. */
int ctl_fail(const char *command, const struct error *err);
/* Prints what is wrong with the command line. */
int ctl_usage(const char *command, const char *fmt, ...) _printf_(2, 3);
void ctl_print_json(const json_t *doc);

/* Put an option's value into a document; text NULL: nothing. Files as whole paths, since luod has
 * another working folder; numbers are milliseconds or counts, from 1. */
int ctl_set_file(const struct ctl *ctl, json_t *body, const char *key, const char *path,
		 struct error *err);
int ctl_set_number(json_t *body, const char *key, const char *text, struct error *err);

/* "" when absent. */
const char *doc_string(const json_t *doc, const char *key);
long long doc_integer(const json_t *doc, const char *key);

/*
 * Options of a command: "--name VALUE" or "--name" for a flag, in any order, then its arguments.
 * text[] and flags[] get what is given; positional arguments are moved to the front of argv + 1 and
 * counted in *ret_count. Prints what is wrong and returns -EINVAL.
 */
struct ctl_option {
	const char *name;
	const char **text; /* NULL: a flag */
	bool *flag;
};

int ctl_options(int argc, char **argv, const struct ctl_option *options, unsigned int count,
		int *ret_count);
/* The same for a command without arguments. CTL_OK, or CTL_USAGE after what is wrong was printed.
 */
int ctl_options_only(int argc, char **argv, const struct ctl_option *options, unsigned int count);

/* Text in columns, as wide as they must be. */
#define TABLE_COLUMNS_MAX 12

struct table {
	unsigned int columns;
	unsigned int count;
	char **cells; /* count of them, row by row; owned */
};

void table_init(struct table *table, const char *const *titles, unsigned int columns);
/* Fills the next cell; "" shows as "-". */
void table_cell(struct table *table, const char *fmt, ...) _printf_(2, 3);
void table_print(const struct table *table);
void table_done(struct table *table);

#endif
