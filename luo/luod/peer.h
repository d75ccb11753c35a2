/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of the agent protocol (luo/agent.h). Only root and luod's own user are let in. */
#ifndef HOLDFAST_LUOD_PEER_H
#define HOLDFAST_LUOD_PEER_H

#include "luo/luod/luod.h"

struct peer;
struct vm;

/* Listens on luod->options.socket. */
int agent_listener_new(struct luod *luod, struct agent_listener **ret, struct error *err);
/* Closes all connections. NULL is fine. */
void agent_listener_free(struct agent_listener *listener);

/* fds are borrowed. */
int peer_send(struct peer *peer, const json_t *message, const int *fds, unsigned int fd_count,
	      struct error *err);

/* What it says is that VM's from now on. */
void peer_set_vm(struct peer *peer, struct vm *vm);
/* Closes it. Its VM is not told; or it is, as if the other side had hung up. */
void peer_drop(struct peer *peer);
void peer_hang_up(struct peer *peer);

/* SO_PEERCRED's, 0 when the process is in another PID namespace. */
pid_t peer_pid(const struct peer *peer);

/* The program that the process at the other end runs, from /proc; left alone when it cannot be had
 * (another mount namespace, or the file was replaced). */
void peer_read_binary(const struct peer *peer, char *path, size_t size);

#endif
