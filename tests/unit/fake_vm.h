/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine and a LUO for tests of failure: they take the place of vmm/machine.h,
 * vmm/guest_memory.h and luo/client.h at link time. RAM and state are real memfds; any call can be
 * made to fail; what is done in a wrong order fails the test.
 */
#ifndef HOLDFAST_TESTS_FAKE_VM_H
#define HOLDFAST_TESTS_FAKE_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "vmm/machine.h"

enum fake_call {
	FAKE_NONE,
	FAKE_RAM_CREATE,
	FAKE_RAM_PREFAULT,
	FAKE_RAM_ADOPT,
	FAKE_BUILD,
	FAKE_BOOT,
	FAKE_CHECK,
	FAKE_APPLY,
	FAKE_SAVE,
	FAKE_CAN_PRESERVE,
	FAKE_START,
	FAKE_PAUSE,
	FAKE_DRAIN,
	FAKE_RESUMED,
	FAKE_PLUG,
	FAKE_KEEP,
	FAKE_UNPLUG,
	FAKE_CREATE,   /* LUO */
	FAKE_RETRIEVE, /* a session */
	FAKE_PRESERVE,
	FAKE_RETRIEVE_FD,
	FAKE_FINISH,
	FAKE_NAME,
	FAKE_CALL_MAX,
};

struct fake {
	enum fake_call fails;	 /* with -EIO */
	unsigned int fails_from; /* only from this call of its kind on, counted from 0 */
	unsigned int calls[FAKE_CALL_MAX];
	bool silent;		   /* a started machine does not tell that its vCPUs ran */
	bool crashes;		   /* it tells that they crashed instead */
	bool resets_in_pause;	   /* a vCPU asks for a reset just before it stops */
	unsigned int machines;	   /* alive */
	unsigned int power_button; /* pressed so often */
	unsigned int gives_up, takes_back;
	unsigned int undrains;	 /* devices went on after a drain */
	bool handed_over;	 /* devices that are kept are somebody else's */
	unsigned int came_back;	 /* to the last machine that was built */
	struct machine *machine; /* the last one built */
};

extern struct fake fake;

#define FAKE_ID	  "web1"
#define FAKE_IOAS 3U

void fake_reset(void);

/* The guest's only register. */
void fake_set_register(struct machine *m, uint64_t value);
uint64_t fake_register(const struct machine *m);
/* The guest gives its entropy device back. */
void fake_give_back_rng(struct machine *m);
/* It gives a device of the host back unasked. */
void fake_forget_device(struct machine *m, const char *id);
/* It gives up one of the devices of the host that it was asked for. */
void fake_give_up_device(struct machine *m);
/* Something happens to a device of the host. */
void fake_tell_news(struct machine *m, const struct device_news *news);
/* What a guest does. */
void fake_tell(struct machine *m, enum machine_event event);

/* Whether an outgoing session of that name is open, or an incoming one was taken and is open. */
bool fake_session_open(const char *name);
/* Whether an incoming session was finished, or closed, which is the same to the kernel. */
bool fake_session_gone(const char *name);
bool fake_session_finished(const char *name);
/* The file preserved under a token; borrowed. FD_NONE: none. */
int fake_preserved(const char *name, uint64_t token);
/* Sessions that are open now come back in the next kernel; all else is gone. */
void fake_kexec(void);
/* A session as luod passes it: owned by the caller. */
int fake_pass_session(const char *name, bool incoming);

#endif
