/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon: what its parts share. One thread, one loop; what blocks in the kernel runs beside it
 * (base/work.h) and touches nothing of this.
 */
#ifndef HOLDFAST_LUOD_LUOD_H
#define HOLDFAST_LUOD_LUOD_H

#include "base/loop.h"
#include "base/notify.h"
#include "base/util.h"
#include "luo/luod/registry.h"

#define LUOD_RUN_DIR	"/run/holdfast"
#define LUOD_VM_USER	"holdfast-vm"
#define LUOD_API_SOCKET "/run/holdfast/api.sock"

struct luod_options {
	char socket[PATH_MAX];		   /* agent protocol */
	char api_socket[PATH_MAX];	   /* HTTP */
	char run_dir[PATH_MAX];		   /* configurations, logs of VMs, state file */
	char vmm[PATH_MAX];		   /* program for new VMs */
	char vm_user[PRIVILEGES_USER_MAX]; /* of VMs that name none, if told; "": root */
	bool vm_user_told;		   /* else LUOD_VM_USER, where there is one */
	char listen[128];		   /* ADDR:PORT of the HTTP API over TLS; "" for none */
	char tls_cert[PATH_MAX];	   /* and its PEM files */
	char tls_key[PATH_MAX];
	char tls_client_ca[PATH_MAX];
	char tls_clients[PATH_MAX]; /* who may do what (access.h) */
	bool must_resume;	    /* --resume: nothing handed over is an error */
	bool replace;		    /* --replace: a luod that is there already ends first */
	int ready_fd;		    /* gets a newline when luod is ready; FD_NONE: none */
};

struct adoption;
struct agent_listener;
struct events;
struct http_server;
struct update;

struct luod {
	struct loop *loop;
	struct luod_options options;
	struct registry registry;
	struct agent_listener *listener;
	struct http_server *http;
	struct events *events;
	struct update *update;		/* the one under way on this kernel, or NULL */
	struct loop_timer *ready_timer; /* ends the time in which VMs are taken up alone */
	struct loop_timer *save_timer;	/* coalesces writes of the state file */
	uint64_t save_after_ns;		/* CLOCK_MONOTONIC; luod_may_save() */
	struct loop_timer
		*snapshot_timer;     /* looks for files that are not to be seen yet; or NULL */
	struct notify notify;	     /* the service manager, where there is one */
	struct loop_timer *watchdog; /* NULL where it does not ask for signs of life */
	bool starting_more;	     /* VMs of the previous kernel are being started right now */
	struct adoption *adoptions;  /* under way */
	unsigned int upgrades;	     /* vmms that are being exchanged */
	uint64_t revision;	     /* goes up with every change that a client can see */
	int host_session;	     /* "luod" of the previous kernel, FD_NONE else */
	int registry_fd;	 /* its registry, whose history is still to be read; FD_NONE else */
	uint64_t start_tsc;	 /* first instruction of this process */
	uint64_t start_ns;	 /* CLOCK_MONOTONIC at the same time */
	unsigned int preflights; /* under way */
	bool ready;		 /* whoever started this was told to go on */
	bool stopping;		 /* asked to end: ends when no update is under way */
};

/* Something a client can see has changed: waiting clients hear of it and the state file is written
 * at the loop's next turn; the file later if luod_may_save() says so. */
void luod_changed(struct luod *luod);

/*
 * Whether the state file may be written now. If not, save_timer ends when it may. What is written
 * are all VMs, and while many are taken up from the previous kernel each of them changes often:
 * then, and only then, writing takes at most a tenth of luod's time, for guests wait for the rest.
 */
bool luod_may_save(struct luod *luod);
/* It was written, which began then (CLOCK_MONOTONIC). */
void luod_saved(struct luod *luod, uint64_t begin_ns);

/* The rate of the TSC in kHz: told by a vmm, or measured against the clock since the start. */
uint64_t luod_tsc_khz(struct luod *luod);

/* Ends the loop, at once or when the update under way is undone. */
void luod_stop(struct luod *luod);

#endif
