/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A luod in this process, with vmms that a test plays over the real agent socket, and a kernel
 * whose answers the test decides: the linker's --wrap puts it in the place of luo/client,
 * luo/kexec, sync and posix_spawn.
 */
#ifndef HOLDFAST_TESTS_LUOD_BENCH_H
#define HOLDFAST_TESTS_LUOD_BENCH_H

#include <stdatomic.h>

#include "luo/luod/luod.h"
#include "luo/luod/update.h"

#define BENCH_VMS 3

/* What a played vmm does with a request. */
enum conduct {
	OBEY,	  /* does it */
	REFUSE,	  /* says no and stays as it was */
	CANNOT,	  /* the same, because it cannot be preserved */
	DIE,	  /* closes the connection */
	POWEROFF, /* its guest ends: event "exit", then closes */
	WAIT,	  /* does not answer */
};

struct played_vmm {
	char id[LUO_VM_ID_MAX + 1];
	int fd; /* FD_NONE: not connected */
	enum agent_phase phase;
	bool preserve;
	enum conduct conduct[AGENT_VERB_MAX];
	char journal[256];     /* verbs in the order in which they came */
	unsigned int sessions; /* descriptors that came along */
	struct agent_tokens tokens;
	uint32_t seq; /* of the last request */
};

struct bench_kernel {
	int load_error, reboot_error, preserve_error, write_error, retrieve_fd_error, spawn_error;
	int systemctl_error;
	const char *create_fails;   /* session of this name cannot be created */
	const char *retrieve_fails; /* or retrieved, with retrieve_error */
	int retrieve_error;
	bool host_session; /* the previous kernel handed over "luod" */
	int registry_fd;   /* what is in it */
	int written_fd;	   /* borrowed: the registry that luod wrote last */
	atomic_bool sync_hangs;
	atomic_uint syncs_under_way;
	atomic_uint host_stops;
	unsigned int loads, unloads, reboots, created, retrieved, finished, spawns, kills;
	char spawned[256]; /* last command line */
	pid_t pid;	   /* what spawn says; 0: this process */
	pid_t peer_pid;	   /* of who connects next; 0: this process */
	uid_t peer_uid;	   /* the same; 0: this user */
	pid_t killed;	   /* the last one */
	void (*at_reboot)(void *opaque);
	void *opaque;
};

struct bench {
	struct luod luod;
	char folder[64];
	struct played_vmm vmms[BENCH_VMS];
};

extern struct bench_kernel bench_kernel;

/* The parts of luod that main() sets up, without HTTP. */
void bench_up(struct bench *b);
void bench_down(struct bench *b);
/* With two VMs that run, "a" and "b", of vmms[0] and [1], which may be preserved. */
void bench_up_with_two(struct bench *b);
/* Connects and says hello as that VM. */
void bench_connect(struct bench *b, struct played_vmm *vmm, const char *id, enum agent_phase phase);
/* Does at last what it was asked to, the last thing, and WAITs no more. */
void bench_answer(struct played_vmm *vmm, enum agent_verb verb);
/* Says a phase by itself. */
void bench_say_phase(struct played_vmm *vmm, enum agent_phase phase);
/* Turns the loop and the played vmms until done(opaque) is true; fails the test after 20 s. */
void bench_until(struct bench *b, bool (*done)(struct bench *b));
/* A few turns, for what must not happen. */
void bench_settle(struct bench *b);

/* Empties the journals of vmms[0] and [1], and begins an update. */
void bench_begin_update(struct bench *b, const struct update_config *config);
/* A finished update. */
bool bench_update_ended(struct bench *b);
struct vm_record *bench_record(struct bench *b, const char *id);
/* Nothing of an update is left: no session, no image, no update. */
void bench_assert_clean(struct bench *b);

#endif
