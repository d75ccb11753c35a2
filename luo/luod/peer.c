/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/peer.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/sock.h"
#include "luo/luod/upgrade.h"
#include "luo/luod/vm.h"

/* A connection that says nothing is closed after this. */
#define HELLO_DEADLINE_MS 10000U

struct peer {
	struct agent_listener *listener;
	struct peer *next;
	int fd; /* owned */
	pid_t pid;
	uid_t uid;
	struct loop_source *source;
	struct loop_timer *timer; /* until the hello */
	struct vm *vm;		  /* NULL until the hello */
};

struct agent_listener {
	struct luod *luod;
	int fd; /* owned */
	struct loop_source *source;
	struct peer *peers;
};

/* The end of a peer that is in no list any more. */
static void peer_close(struct peer *peer)
{
	struct vm *vm = peer->vm;

	loop_remove_fd(peer->source);
	loop_timer_free(peer->timer);
	close_fdp(&peer->fd);
	free(peer);
	if (vm)
		vm_on_disconnect(vm);
}

static void peer_free(struct peer *peer)
{
	struct peer **link = &peer->listener->peers;

	while (*link != peer)
		link = &(*link)->next;
	*link = peer->next;
	peer_close(peer);
}

void peer_set_vm(struct peer *peer, struct vm *vm)
{
	peer->vm = vm;
}

void peer_drop(struct peer *peer)
{
	peer->vm = NULL;
	peer_free(peer);
}

void peer_hang_up(struct peer *peer)
{
	peer_free(peer);
}

static bool has_the_guest(enum agent_phase phase)
{
	return phase != AGENT_PHASE_WAITING && phase != AGENT_PHASE_ADOPTED &&
	       phase != AGENT_PHASE_RELEASED && phase != AGENT_PHASE_FAILED;
}

static void end_leftover(const struct vm *vm, pid_t pid)
{
	log_warning("vm %s: pid %d is left over from an exchange of its vmm and is ended",
		    vm->record->id, pid);
	if (pid > 1)
		kill(pid, SIGKILL);
}

/*
 * Two processes say that they are this VM. After an exchange that a luod did not live to end, one
 * of them has the guest (step "claim" of vmm/update sees to that) and the other none.
 */
static int choose(struct peer *peer, const struct agent_hello *hello, struct vm *vm,
		  struct error *err)
{
	struct peer *before = vm->peer;
	bool judge = !vm->upgrade && vm->session_fd < 0;
	bool has = has_the_guest(hello->phase), had = has_the_guest(vm->record->phase);

	if (judge && has && !had) {
		end_leftover(vm, before->pid);
		peer_hang_up(before);
		vm->record->resume = false;
		return 0;
	}
	if (judge && had && !has)
		end_leftover(vm, peer->pid);
	return error_set(err, -EADDRINUSE,
			 "vm %s: pid %d says it is that VM, but pid %d is connected as it;"
			 " give it another id",
			 hello->id, peer->pid, before->pid);
}

static bool is_trusted(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

/* A vmm of another user is what luod itself started as that user, for that VM; no other process of
 * that user can say so, nor can it say that it is another VM. */
static int check_sender(const struct peer *peer, const char *id, struct error *err)
{
	const struct vm_record *record = registry_find(&peer->listener->luod->registry, id);

	if (is_trusted(peer->uid))
		return 0;
	if (record && record->run_uid == peer->uid &&
	    (record->pid == peer->pid || upgrade_next(record->vm, peer->pid)))
		return 0;
	return error_set(err, -EACCES, "vm %s: uid %u, pid %d is not its vmm", id, peer->uid,
			 peer->pid);
}

static int on_hello(struct peer *peer, json_t *message, struct error *err)
{
	struct agent_hello hello;
	struct peer *before;
	struct vm *vm = NULL, *next;
	int r;

	r = agent_hello_from_json(message, &hello, err);
	if (r < 0)
		return r;
	r = check_sender(peer, hello.id, err);
	if (r == 0)
		r = vm_get(peer->listener->luod, hello.id, &vm, err);
	if (r < 0)
		return r;
	next = upgrade_next(vm, peer->pid);
	if (next)
		vm = next;
	before = vm->peer;
	if (before && before->pid != peer->pid) {
		r = choose(peer, &hello, vm, err);
		if (r < 0)
			return r;
	} else if (before) {
		/* The same process again: the end of the old connection is only not seen yet. */
		peer_free(before);
	}
	peer->vm = vm;
	loop_timer_disarm(peer->timer);
	vm_on_hello(vm, peer, &hello);
	return 0;
}

/* What it has said has changed. */
static int on_hello_again(struct peer *peer, json_t *message, struct error *err)
{
	struct agent_hello hello;
	int r = agent_hello_from_json(message, &hello, err);

	if (r < 0)
		return r;
	if (strcmp(hello.id, peer->vm->record->id) != 0)
		return error_set(err, -EBADMSG, "its hello names another VM now: %s", hello.id);
	vm_on_hello_again(peer->vm, &hello);
	return 0;
}

/* Takes the descriptors. */
static int on_reply(struct peer *peer, json_t *message, const int *fds, unsigned int fd_count,
		    struct error *err)
{
	struct agent_reply reply;
	int r = agent_reply_from_json(message, &reply, err);

	if (r == 0)
		vm_on_reply(peer->vm, &reply, fds, fd_count);
	else
		sock_close_fds(fds, fd_count);
	return r;
}

/* Takes the descriptors. Only replies have any that mean something. */
static int dispatch(struct peer *peer, json_t *message, const int *fds, unsigned int fd_count,
		    struct error *err)
{
	enum agent_message_type type;
	struct agent_event event;
	int r;

	r = agent_message_type(message, &type, err);
	if (r == 0 && type == AGENT_REPLY && peer->vm)
		return on_reply(peer, message, fds, fd_count, err);
	sock_close_fds(fds, fd_count);
	if (r < 0)
		return r;
	if (!peer->vm) {
		if (type != AGENT_HELLO)
			return error_set(err, -EBADMSG, "the first message must be a hello");
		return on_hello(peer, message, err);
	}
	switch (type) {
	case AGENT_EVENT:
		r = agent_event_from_json(message, &event, err);
		if (r == 0)
			vm_on_event(peer->vm, &event);
		return r;
	case AGENT_HELLO:
		return on_hello_again(peer, message, err);
	case AGENT_REQUEST:
	case AGENT_REPLY:
		break;
	}
	return error_set(err, -EBADMSG, "such a message is not for luod");
}

static void on_readable(void *opaque, uint32_t events _unused_)
{
	struct peer *peer = opaque;
	int fds[SOCK_FDS_MAX];
	unsigned int fd_count = 0;
	struct error err = ERROR_INIT;
	json_t *message;
	int r;

	r = sock_recv_json(peer->fd, &message, fds, &fd_count, &err);
	if (r == -EAGAIN || r == -EINTR)
		return;
	if (r == 0) {
		r = dispatch(peer, message, fds, fd_count, &err);
		json_decref(message);
	}
	if (r == 0)
		return;
	if (r != -EPIPE)
		log_warning("agent socket: pid %d: %s; connection closed", peer->pid,
			    error_message(&err));
	peer_free(peer);
}

static void on_no_hello(void *opaque)
{
	struct peer *peer = opaque;

	if (peer->vm)
		return;
	log_warning("agent socket: pid %d said no hello; connection closed", peer->pid);
	peer_free(peer);
}

/* Takes *fd over unless it fails. */
static int peer_new(struct agent_listener *listener, int *fd, uid_t uid, pid_t pid,
		    struct error *err)
{
	struct loop *loop = listener->luod->loop;
	struct peer *peer = calloc(1, sizeof(*peer));
	int r;

	if (!peer)
		return error_set(err, -ENOMEM, "out of memory");
	*peer = (struct peer){.listener = listener, .pid = pid, .uid = uid, .fd = *fd};
	r = loop_timer_new(loop, on_no_hello, peer, &peer->timer, err);
	if (r == 0)
		r = loop_add_fd(loop, *fd, EPOLLIN, on_readable, peer, &peer->source, err);
	if (r < 0) {
		loop_timer_free(peer->timer);
		free(peer);
		return r;
	}
	loop_timer_arm(peer->timer, HELLO_DEADLINE_MS * NSEC_PER_MSEC, 0);
	peer->next = listener->peers;
	listener->peers = peer;
	steal_fd(fd);
	return 0;
}

static bool runs_a_vm(const struct luod *luod, uid_t uid)
{
	for (const struct vm_record *record = luod->registry.vms; record; record = record->next) {
		if (record->run_uid == uid)
			return true;
	}
	return false;
}

static void on_connection(void *opaque, uint32_t events _unused_)
{
	struct agent_listener *listener = opaque;
	_cleanup_fd_ int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct error err = ERROR_INIT;
	uid_t uid;
	pid_t pid;

	if (fd < 0)
		return;
	if (sock_peer(fd, &uid, &pid) < 0 ||
	    (!is_trusted(uid) && !runs_a_vm(listener->luod, uid))) {
		log_warning("agent socket: a process of another user was turned away");
		return;
	}
	if (peer_new(listener, &fd, uid, pid, &err) < 0)
		log_error("agent socket: %s", error_message(&err));
}

int agent_listener_new(struct luod *luod, struct agent_listener **ret, struct error *err)
{
	struct agent_listener *listener = calloc(1, sizeof(*listener));
	int r;

	if (!listener)
		return error_set(err, -ENOMEM, "agent socket: out of memory");
	listener->luod = luod;
	listener->fd = FD_NONE;
	r = sock_listen(luod->options.socket, SOCK_SEQPACKET, &listener->fd, err);
	/* For the users of VMs; who is none of them is turned away by SO_PEERCRED. */
	if (r == 0 && chmod(luod->options.socket, 0666) < 0)
		r = error_sys(err, -errno, "socket %s", luod->options.socket);
	if (r == 0)
		r = loop_add_fd(luod->loop, listener->fd, EPOLLIN, on_connection, listener,
				&listener->source, err);
	if (r < 0) {
		close_fdp(&listener->fd);
		free(listener);
		return r;
	}
	*ret = listener;
	return 0;
}

void agent_listener_free(struct agent_listener *listener)
{
	if (!listener)
		return;
	while (listener->peers) {
		struct peer *peer = listener->peers;

		listener->peers = peer->next;
		peer_close(peer);
	}
	loop_remove_fd(listener->source);
	close_fdp(&listener->fd);
	free(listener);
}

int peer_send(struct peer *peer, const json_t *message, const int *fds, unsigned int fd_count,
	      struct error *err)
{
	return sock_send_json(peer->fd, message, fds, fd_count, err);
}

pid_t peer_pid(const struct peer *peer)
{
	return peer->pid;
}

void peer_read_binary(const struct peer *peer, char *path, size_t size)
{
	char link[64], target[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/exe", peer->pid);
	n = readlink(link, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = '\0';
	/* A program replaced by a package upgrade shows as "PATH (deleted)": PATH is the new one.
	 */
	if (n > 10 && strcmp(target + n - 10, " (deleted)") == 0)
		target[n - 10] = '\0';
	registry_set_text(path, size, target);
}
