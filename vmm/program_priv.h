/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOLDFAST_VMM_PROGRAM_PRIV_H
#define HOLDFAST_VMM_PROGRAM_PRIV_H

#include "vmm/agent.h"
#include "vmm/api/server.h"
#include "vmm/cli.h"
#include "vmm/confine/confine.h"
#include "vmm/manager.h"
#include "vmm/shutdown.h"
#include "vmm/vm.h"

struct program {
	struct loop *loop;
	const struct cli *cli;
	struct vm *vm;	 /* NULL: none has been booted, or it has ended and may be booted again */
	struct api *api; /* NULL without --api-socket */
	struct agent *agent; /* NULL without --agent */
	struct shutdown *shutdown;
	struct manager manager;
	struct confine confine;
	bool resume; /* what is preserved is taken up */
	int exit_code;
	bool over;

	/* Of a process that was started without a VM (cli->empty): its API makes them. */
	struct vm_config created;
	bool has_created;	     /* that is a VM's configuration */
	bool forget;		     /* when its VM has ended */
	struct loop_timer *vm_ended; /* owned: takes it away in a turn of its own */
};

/* program_api.c: what the API stands on; its opaque is the program. */
extern const struct api_backend program_backend;

/* program.c */
/* API and agent as the configuration says; what is there already stays. */
int program_open_doors(struct program *p, struct error *err);
/* Makes p->vm, to be booted or resumed. */
int program_make_vm(struct program *p, const struct vm_config *config, bool resume,
		    json_t *overrides, struct error *err);
/* The VM and what stands on it; the process goes on. */
void program_drop_vm(struct program *p);

/* program_snapshot.c */
/*
 * Makes p->vm from a snapshot. id: it must be of that VM; "" for any. done: as vm_request(). After
 * a failure p->vm is there still, and may be asked once more or dropped, unless the return is
 * negative.
 */
int program_restore(struct program *p, const char *path, const char *id, json_t *overrides,
		    vm_done_fn *done, void *opaque, struct error *err);
/* A snapshot of p->vm into a new file. */
int program_snapshot(struct program *p, const char *path, vm_done_fn *done, void *opaque,
		     struct error *err);

#endif
