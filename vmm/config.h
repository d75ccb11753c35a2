/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM is made of, as the user said it: command line, JSON file or API, all with the same
 * names. It travels inside the state as JSON, so that the machine of a resumed guest is built by
 * the code that built the cold one.
 */
#ifndef HOLDFAST_VMM_CONFIG_H
#define HOLDFAST_VMM_CONFIG_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/confine/filter.h"
#include "base/confine/privileges.h"
#include "base/error.h"
#include "devices/vfio/config.h"
#include "devices/virtio/balloon/config.h"
#include "devices/virtio/blk/config.h"
#include "devices/virtio/net/config.h"
#include "devices/virtio/vsock/config.h"
#include "luo/tokens.h"
#include "vmm/guest_memory.h"

#define VM_CPUS_MAX	      32
#define VM_MEMORY_MIN	      (32ULL << 20)
#define VM_MEMORY_MAX	      (4ULL << 40)
#define VM_MEMORY_DEFAULT     (512ULL << 20)
#define VM_RNG_SOURCE_DEFAULT "/dev/urandom"
#define VM_DISKS_MAX	      16
#define VM_NETS_MAX	      8
#define VM_PASSED_MAX	      8 /* devices of the host */
#define VM_LANDLOCK_RULES_MAX 8
#define VM_DEVICE_NAME_MAX    (VIRTIO_BLK_CONFIG_ID_MAX + 1) /* bytes, terminator included */
#define VM_CMDLINE_MAX	      2048 /* COMMAND_LINE_SIZE of x86 Linux, terminator included */

enum console_mode {
	CONSOLE_OFF,
	CONSOLE_STDIO,	/* "stdio" */
	CONSOLE_PTY,	/* "pty" */
	CONSOLE_FILE,	/* "file=PATH": output is appended, input is none */
	CONSOLE_SOCKET, /* "socket=PATH": listens, one client at a time */
};

struct console_config {
	enum console_mode mode;
	char path[PATH_MAX];
};

struct rng_config {
	bool on;
	char source[PATH_MAX]; /* what entropy is read from */
};

/* A path, with all that is beneath it, that the VMM may use later: for devices that are plugged in.
 */
struct landlock_rule {
	char path[PATH_MAX];
	bool write;
};

/* How far the VMM itself is confined (docs/confinement.md). */
struct confine_config {
	enum filter_mode seccomp;
	bool landlock_off;
	struct landlock_rule rules[VM_LANDLOCK_RULES_MAX];
	unsigned int rule_count;
	char user[PRIVILEGES_USER_MAX]; /* whom a VMM that root starts becomes; "": it stays root */
};

struct vm_config {
	char id[LUO_VM_ID_MAX +
		1]; /* letters, digits, '-', '_', '.'; starts with a letter or digit */
	char kernel[PATH_MAX];
	char initramfs[PATH_MAX]; /* "" for none */
	char cmdline[VM_CMDLINE_MAX];
	uint32_t cpus;
	uint64_t memory;	       /* of the boot; bytes, a multiple of 2 MiB */
	struct ram_growth growth;      /* what was and can be added to it since */
	bool prefault;		       /* it is made before the guest has it */
	struct console_config console; /* the serial port */
	struct console_config hvc;     /* the virtio console */
	struct rng_config rng;
	struct virtio_balloon_config balloon;
	struct virtio_vsock_config vsock;
	/* Each with an id and a slot of its own: an empty id and slot 0 are filled in when read. */
	struct virtio_blk_config disks[VM_DISKS_MAX];
	unsigned int disk_count;
	struct virtio_net_config nets[VM_NETS_MAX]; /* the same */
	unsigned int net_count;
	struct vfio_pci_config devices[VM_PASSED_MAX]; /* passed through; the same */
	unsigned int device_count;
	char api_socket[PATH_MAX]; /* "" for none */
	char agent[PATH_MAX];	   /* luod's socket; "" for none */
	bool preserve_on_update;
	struct confine_config confine;
};

/* Defaults: one CPU, 512 MiB, console on stdio, entropy from /dev/urandom, nothing else. */
void vm_config_init(struct vm_config *config);

/*
 * Reads a document into *config, over what is there. Every unknown key, wrong type and value out of
 * range is named, all in one message.
 */
int vm_config_from_json(json_t *json, struct vm_config *config, struct error *err);

/*
 * What was left to the host and changes what a guest sees, before devices are made: by what this
 * host has, or, in a configuration that comes out of a state, as it was before there was a choice.
 * Either way it stays so for the life of the VM.
 */
void vm_config_decide(struct vm_config *config);
void vm_config_keep(struct vm_config *config);

/* The whole configuration; vm_config_from_json() of it gives an equal one. New reference. */
json_t *vm_config_to_json(const struct vm_config *config);

/* Whether it has the device of that key, one of those that can come and go while the guest runs
 * ("rng", "hvc", "balloon", "vsock"; 0 for "disk", "net" and "device", of which there can always
 * be one more). 1, 0, or -ENOENT: the key is none of these. */
int vm_config_has_device(const struct vm_config *config, const char *key);
/* The device of the host with that id; NULL: none. */
struct vfio_pci_config *vm_config_find_passed(struct vm_config *config, const char *id);
/* The id of a device of the host that an update must take from the guest: neither away nor kept;
 * NULL: there is none. */
const char *vm_config_passed_here(const struct vm_config *config);
/* Whether the device of the host with that id stays through the update that is under way. */
bool vm_config_is_kept(const struct vm_config *config, const char *id);
/* Takes a device out by its name: "rng", "hvc", "balloon", "vsock", or the id of a disk, a
 * network card or a device of the host. */
void vm_config_forget_device(struct vm_config *config, const char *name);
/* All that the guest has, bytes: of the boot and added. */
uint64_t vm_config_memory(const struct vm_config *config);
/* Before a boot: what was added is of the boot then, and the rest can be added as before. */
void vm_config_fold_memory(struct vm_config *config);
/* What can come and go, devices and memory, from one configuration into another. */
void vm_config_copy_devices(struct vm_config *to, const struct vm_config *from);

/*
 * Checks what can only be known with the whole in hand: required fields, files that are missing or
 * unreadable, options that exclude each other. All named in one message.
 */
int vm_config_validate(const struct vm_config *config, struct error *err);

#endif
