/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine: guest memory, vCPUs, interrupt controllers, buses and devices, wired by one function
 * for a cold boot and for a resume. Lock order: machine > bus > device > backend. All functions
 * belong to the loop's thread.
 */
#ifndef HOLDFAST_VMM_MACHINE_H
#define HOLDFAST_VMM_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/state.h"
#include "vmm/config.h"
#include "vmm/device_news.h"
#include "vmm/guest_memory.h"

struct machine;
struct kept_devices;

enum machine_event {
	MACHINE_EVENT_POWEROFF, /* the guest switched itself off, or Ctrl-A x on its console */
	MACHINE_EVENT_RESET,	/* the guest asked for a reset, or a triple fault happened */
	MACHINE_EVENT_CRASHED, /* KVM cannot run a vCPU any more; err says why. vCPUs are stopped */
	MACHINE_EVENT_ALL_VCPUS_RAN, /* since machine_start() every vCPU was in the guest and came
					out of it, or was found waiting to be woken (halted, or an
					AP not yet started); vmm/vcpu.h tells how that is seen */
	MACHINE_EVENT_DEVICE_GONE,   /* the guest has given a device back */
	MACHINE_EVENT_DEVICE_NEWS,   /* machine_take_news() has something */
};

/* On the loop's thread, one at a time: the machine may be freed in it. err is for
 * MACHINE_EVENT_CRASHED, else NULL. */
typedef void machine_event_fn(void *opaque, enum machine_event event, const struct error *err);

/*
 * Builds the whole machine from the configuration. Takes ram (even on failure). Nothing runs yet.
 * kept: devices of the host that came back from an update, borrowed for the call; NULL: none did.
 * Opens /dev/kvm; -ENOENT, -EACCES, -ENOSYS each say what the operator can do.
 */
int machine_build(const struct vm_config *config, struct loop *loop, struct guest_ram *ram,
		  const struct kept_devices *kept, machine_event_fn *on_event, void *opaque,
		  struct machine **ret, struct error *err);
void machine_free(struct machine *machine); /* stops vCPUs; NULL is fine */

/* Cold boot: loads kernel, initramfs, tables; sets vCPU 0 to the kernel's entry. */
int machine_boot(struct machine *machine, struct error *err);

/* Nodes of a state that are not the machine's: vmm/update/ writes and reads them. */
#define MACHINE_STATE_OTHERS "config", "timeline", "passthrough"

/*
 * Everything in `blob` into a machine that was built and never ran: see state_load_objects().
 * STATE_CHECK changes nothing. After a failed STATE_APPLY the machine is good for nothing but
 * machine_free(); the blob is good for another try.
 */
int machine_load(struct machine *machine, const struct state_blob *blob, enum state_mode mode,
		 struct error *err);

/* All objects of the machine, vCPUs paused, devices drained. Does not grow with guest RAM, has no
 * effect on the guest. */
int machine_save(struct machine *machine, struct state_writer *w, struct error *err);

/* Upper bound of what machine_save() writes, known before anything is paused. Bytes. */
size_t machine_state_size_max(const struct machine *machine);

/* Refuses what cannot be preserved (nested virtualisation in use, an image that is not where it
 * was,
 * ...), all of it in one message: for preflight, the guest runs. */
int machine_can_preserve(struct machine *machine, struct error *err);

/* Starts or continues all vCPUs. Threads are made at the first call. */
int machine_start(struct machine *machine, struct error *err);

/*
 * Stops all vCPUs: each has left KVM_RUN with its I/O completed when this returns 0. -ETIMEDOUT:
 * one did not stop within timeout_ms; all run on. Devices go on until machine_drain().
 */
int machine_pause(struct machine *machine, unsigned int timeout_ms, struct error *err);
bool machine_is_running(const struct machine *machine);

/*
 * With the vCPUs paused: devices take nothing more, finish what they have taken, for timeout_ms,
 * and tell the guest. Then nothing but the clock changes what machine_save() would say, and nothing
 * touches guest memory. What a backend does not take by then is part of the state where the device
 * can keep it; else this fails, and all devices go on.
 */
int machine_drain(struct machine *machine, unsigned int timeout_ms, struct error *err);
/* They go on; vCPUs stay as they are. machine_start() does this, too. */
void machine_undrain(struct machine *machine);
/* Devices stand still: drained, or not started yet. */
bool machine_is_drained(const struct machine *machine);

/*
 * After a load and before machine_start(): tells guest and devices that time has passed
 * (KVM_KVMCLOCK_CTRL, one spurious interrupt where the gap may have swallowed one, link announced).
 */
int machine_resumed(struct machine *machine, struct error *err);

/*
 * Plugs in the devices that config has and the machine has not, and tells the guest;
 * machine_config() has them then. -ENOENT, ...: what cannot be opened is named, nothing has
 * changed.
 */
int machine_plug(struct machine *machine, const struct vm_config *config, struct error *err);
/* Asks the guest to give a device ("rng", "hvc", "balloon", "vsock", the id of a disk or a network
 * card) back. When it has done so, which may be never, machine_config() is without it. -ENOENT:
 * there is none. */
int machine_request_unplug(struct machine *machine, const char *device, struct error *err);

/*
 * For an update: which devices of the host stay with the guest, those with the policy preserve or
 * all, as copies of their descriptors; and those with the policy reset whose state can be saved.
 * They are marked in machine_config(), and not asked for. Before machine_state_size_max() is asked
 * for. Nothing is left in *ret on failure.
 */
int machine_keep_devices(struct machine *machine, bool all, struct kept_devices *ret,
			 struct error *err);
/* The opposite: no device is marked any more. */
void machine_unkeep_devices(struct machine *machine);
/* The state is saved: those devices are another kernel's or process's from now on, or they are ours
 * again. */
void machine_hand_over(struct machine *machine, bool over);
/*
 * For an update: asks the guest for every other device of the host. Each that is given up is told
 * by MACHINE_EVENT_DEVICE_GONE, and marked in machine_config(). Its DMA has ended then.
 */
void machine_give_up(struct machine *machine);
/*
 * The end of that: they come back. updated: in the new kernel, where those with the policy detach
 * do not. A device that cannot be opened is logged, and stays marked; one that the guest gives up
 * only now comes back at once.
 */
void machine_take_back(struct machine *machine, bool updated);

/* The next of what has happened to its devices of the host, in that order. False: no more. */
bool machine_take_news(struct machine *machine, struct device_news *ret);

/* As virtio_blk_resize(); may wait for the disk's thread. -ENOENT: no disk has that id. */
int machine_resize_disk(struct machine *machine, const char *id, uint64_t size, struct error *err);
/* As virtio_balloon_resize(); machine_config() has the new size. -ENOENT: there is no balloon. */
int machine_resize_balloon(struct machine *machine, uint64_t size, struct error *err);
/*
 * The guest has so many bytes of RAM then, added as one piece and told to it; machine_config() has
 * it. Everything that can fail is done before the guest is told, and undone on failure: -EINVAL, no
 * multiple of RAM_ADD_ALIGN more; -ERANGE, less than it has or more than it can have; -ENOMEM, ...:
 * what the host lacks, with the way out. 0 also if it has so much.
 */
int machine_resize_memory(struct machine *machine, uint64_t size, struct error *err);
/* As virtio_balloon_statistics(). New reference; NULL: there is no balloon. */
json_t *machine_balloon_statistics(struct machine *machine);
/*
 * Guest RAM that is preserved must keep all of its pages: from when this returns until it is called
 * with false, no device gives any back to the host. A machine that was loaded begins so.
 */
void machine_keep_memory(struct machine *machine, bool keep);
bool machine_memory_is_kept(const struct machine *machine);
/* What the devices have done, by their names. New reference. */
json_t *machine_counters(const struct machine *machine);

/* Presses the ACPI power button. */
void machine_power_button(struct machine *machine);

struct guest_ram *machine_ram(struct machine *machine); /* borrowed */
/* As it was built, and what was plugged and unplugged since. */
const struct vm_config *machine_config(const struct machine *machine);
uint32_t machine_tsc_khz(const struct machine *machine);    /* of this host */
const char *machine_console(const struct machine *machine); /* "stdio", "/dev/pts/7", a path */
/* The same of the virtio console; NULL: there is none. */
const char *machine_hvc(const struct machine *machine);

#endif
