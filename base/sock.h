/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UNIX sockets that carry one JSON document a message, with descriptors beside it (SOCK_SEQPACKET,
 * unix(7)): what vmm and luod talk. Descriptors arrive close-on-exec.
 */
#ifndef HOLDFAST_BASE_SOCK_H
#define HOLDFAST_BASE_SOCK_H

#include <jansson.h>
#include <sys/types.h>

#include "base/error.h"

#define SOCK_MESSAGE_MAX 65536
#define SOCK_FDS_MAX	 32

/* Owned descriptor of a listening socket at path (an old socket file there is replaced), mode 0600.
 */
int sock_listen(const char *path, int type, int *ret_fd, struct error *err);
int sock_connect(const char *path, int type, int *ret_fd, struct error *err);
/* SO_PEERCRED. */
int sock_peer(int fd, uid_t *ret_uid, pid_t *ret_pid);

/* Sends one message; never blocks on a full socket (-EAGAIN). fds are borrowed. */
int sock_send_json(int fd, const json_t *message, const int *fds, unsigned int fd_count,
		   struct error *err);

/*
 * Receives one message. 0: got one, *ret is a new reference, fds[0..*fd_count) are owned by the
 * caller. -EAGAIN: nothing there (non-blocking socket). -EPIPE: the peer is gone. -EBADMSG: too
 * long, not JSON, or more than SOCK_FDS_MAX descriptors: nothing was kept.
 */
int sock_recv_json(int fd, json_t **ret, int fds[SOCK_FDS_MAX], unsigned int *fd_count,
		   struct error *err);
/* Closes those of a message that nobody wants. */
void sock_close_fds(const int *fds, unsigned int count);

#endif
