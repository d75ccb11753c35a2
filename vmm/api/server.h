/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM's HTTP API: HTTP/1.1 on a UNIX socket of mode 0600, in the loop's thread. A slow, hostile
 * or vanished client costs a connection for a bounded time and nothing else; docs/api/vmm.yaml
 * describes the requests.
 */
#ifndef HOLDFAST_VMM_API_SERVER_H
#define HOLDFAST_VMM_API_SERVER_H

#include "base/loop.h"
#include "vmm/vm.h"

#define API_BODY_MAX	      (64U * 1024)
#define API_CONNECTIONS_MAX   32U
#define API_IDLE_TIMEOUT_S    10U
#define API_REQUEST_TIMEOUT_S 30U /* for a whole request to arrive */
/* When the library is missing that the API needs. */
#define API_WAY_OUT "install it, or leave out --api-socket"

/* What the API stands on. Documents are new references; NULL: there is no VM. */
struct api_backend {
	json_t *(*info)(void *opaque);
	json_t *(*timeline)(void *opaque);
	json_t *(*counters)(void *opaque);
	json_t *(*balloon_statistics)(void *opaque); /* NULL: there is no balloon */
	const char *(*phase)(void *opaque);
	/* As vm_request(). */
	int (*request)(void *opaque, enum vm_verb verb, uint32_t timeout_ms, vm_done_fn *done,
		       void *done_opaque, struct error *err);
	/* As vm_add_devices(), vm_remove_device(), vm_resize_disk() and vm_resize_balloon(). */
	int (*add_devices)(void *opaque, json_t *devices, struct error *err);
	int (*remove_device)(void *opaque, const char *device, struct error *err);
	int (*resize_disk)(void *opaque, const char *id, uint64_t size, struct error *err);
	int (*resize_balloon)(void *opaque, uint64_t size, struct error *err);
	int (*resize_memory)(void *opaque, uint64_t size,
			     struct error *err); /* vm_resize_memory() */
	/* -EEXIST: there is a VM already. -ESRCH: there is none; every other call may say so, too.
	 */
	int (*create)(void *opaque, json_t *config, struct error *err);
	int (*boot)(void *opaque, struct error *err);
	int (*delete)(void *opaque, struct error *err);
	/* Into a new file, and out of one; done as of a request. */
	int (*snapshot)(void *opaque, const char *path, vm_done_fn *done, void *done_opaque,
			struct error *err);
	int (*restore)(void *opaque, const char *path, vm_done_fn *done, void *done_opaque,
		       struct error *err);
	/* luod at that socket drives the VM of that id from now on: vm_set_agent(). -EINVAL: the VM
	 * is another one. */
	int (*adopt)(void *opaque, const char *id, const char *agent, struct error *err);
};

struct api;

/* backend is borrowed. Errors name the path. */
int api_new(struct loop *loop, const char *path, const struct api_backend *backend, void *opaque,
	    struct api **ret, struct error *err);

/* No new connections; requests that come on old ones are told that the vmm ends. The backend is not
 * called any more. NULL is fine. */
void api_quiesce(struct api *api);

/* Sends what is still to be sent, for at most a second, and removes the socket. NULL is fine. */
void api_free(struct api *api);

#endif
