/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: the listeners, who is at the other end, and the time that each has. */
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sock.h"
#include "luo/luod/http_priv.h"

/* Without a byte in either direction; a stream speaks more often. */
#define IDLE_TIMEOUT_S 60U
/* How often connections that take too long over a request are looked for. */
#define SWEEP_MS 5000U

static void run_daemon(const struct http_library *mhd, struct MHD_Daemon *daemon,
		       uint64_t *soonest_ms)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms;

	if (!daemon)
		return;
	mhd->run(daemon);
	if (mhd->get_timeout(daemon, &timeout_ms) == MHD_YES)
		*soonest_ms = MIN_OF(*soonest_ms, (uint64_t)timeout_ms);
}

void http_run(struct http_server *server)
{
	uint64_t soonest_ms = UINT64_MAX;

	run_daemon(&server->mhd, server->unix_listener.daemon, &soonest_ms);
	run_daemon(&server->mhd, server->tls_listener.daemon, &soonest_ms);
	if (soonest_ms != UINT64_MAX)
		loop_timer_arm(server->timer, soonest_ms * NSEC_PER_MSEC, 0);
	else
		loop_timer_disarm(server->timer);
}

static void on_epoll(void *opaque, uint32_t events _unused_)
{
	struct http_listener *listener = opaque;

	http_run(listener->server);
}

static void on_timeout(void *opaque)
{
	http_run(opaque);
}

static void on_wait_timeout(void *opaque)
{
	http_wake_waiting(opaque, clock_monotonic_ns());
}

void http_server_wake(struct http_server *server)
{
	http_wake_waiting(server, UINT64_MAX);
	stream_wake_all(server, false);
}

/* A request that does not arrive in time costs its connection. */
static void on_sweep(void *opaque)
{
	struct http_server *server = opaque;
	uint64_t now = clock_monotonic_ns();

	for (struct http_client *client = server->clients; client; client = client->next) {
		if (client->deadline_ns && now > client->deadline_ns)
			shutdown(client->fd, SHUT_RDWR);
	}
	/* A stream that nobody reads any more is only found out by writing to it. */
	stream_wake_all(server, true);
}

static unsigned int count_clients(const struct http_server *server, uid_t uid)
{
	unsigned int count = 0;

	for (const struct http_client *client = server->clients; client; client = client->next)
		count += client->known && client->caller.uid == uid;
	return count;
}

static void client_new(struct http_listener *listener, int fd, void **context)
{
	struct http_server *server = listener->server;
	struct http_client *client = calloc(1, sizeof(*client));
	unsigned int before = 0;
	uid_t uid;
	pid_t pid;

	/* Without a context every request is turned away. */
	if (!client)
		return;
	client->server = server;
	client->fd = fd;
	client->tls = listener->tls;
	client->deadline_ns = clock_monotonic_ns() + HTTP_REQUEST_MS * NSEC_PER_MSEC;
	if (!client->tls && sock_peer(fd, &uid, &pid) == 0) {
		caller_from_uid(&client->caller, uid);
		before = client->caller.role == ROLE_ADMIN ? 0 : count_clients(server, uid);
		client->known = true;
	}
	client->refused = before >= HTTP_CONNECTIONS_PER_USER;
	/* Even to be told so takes a connection: there is an end to that, too. */
	if (before >= 2 * HTTP_CONNECTIONS_PER_USER)
		shutdown(fd, SHUT_RDWR);
	client->next = server->clients;
	client->link = &server->clients;
	if (client->next)
		client->next->link = &client->next;
	server->clients = client;
	*context = client;
}

static void client_free(struct http_client *client)
{
	*client->link = client->next;
	if (client->next)
		client->next->link = client->link;
	free(client);
}

static void on_connection(void *opaque, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	const struct http_listener *listener = opaque;
	const union MHD_ConnectionInfo *info = listener->server->mhd.get_connection_info(
		connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (code == MHD_CONNECTION_NOTIFY_STARTED && info)
		client_new(opaque, info->connect_fd, context);
	else if (code == MHD_CONNECTION_NOTIFY_CLOSED && *context)
		client_free(*context);
}

static _printf_(2, 0) void log_from_mhd(void *opaque _unused_, const char *fmt, va_list ap)
{
	char text[ERROR_MESSAGE_MAX];

	vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	log_debug("http: %s", text);
}

static int start(struct http_listener *listener, const char *where, const struct tls_files *tls,
		 struct error *err)
{
	struct http_server *server = listener->server;
	const union MHD_DaemonInfo *info;
	const struct MHD_OptionItem with_tls[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, tls ? tls->cert : NULL},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, tls ? tls->key : NULL},
		{MHD_OPTION_HTTPS_MEM_TRUST, 0, tls ? tls->client_ca : NULL},
		{MHD_OPTION_HTTPS_PRIORITIES, 0,
		 (void *)(uintptr_t)"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
		{MHD_OPTION_END, 0, NULL},
	};
	const struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
	unsigned int flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
			     (tls ? MHD_USE_TLS : 0);

	listener->daemon = server->mhd.start_daemon(
		flags, 0, NULL, NULL, http_on_request, listener, MHD_OPTION_EXTERNAL_LOGGER,
		log_from_mhd, NULL, MHD_OPTION_LISTEN_SOCKET, listener->fd,
		MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		IDLE_TIMEOUT_S, MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, NULL,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, listener, MHD_OPTION_ARRAY,
		tls ? with_tls : none, MHD_OPTION_END);
	if (!listener->daemon)
		return error_set(err, -EIO, "HTTP server: cannot start on %s%s", where,
				 tls ? ": do certificate and key belong together?" : "");
	info = server->mhd.get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return error_set(err, -EIO, "HTTP server: libmicrohttpd was built without epoll");
	return loop_add_fd(server->luod->loop, info->epoll_fd, EPOLLIN, on_epoll, listener,
			   &listener->source, err);
}

/* Whoever connects from here on waits until the server starts. */
static int listen_unix(struct http_server *server, struct error *err)
{
	const char *path = server->luod->options.api_socket;
	int r = sock_listen(path, SOCK_STREAM, &server->unix_listener.fd, err);

	/* Everybody may connect; what he may do then is decided by who he is. */
	if (r == 0 && chmod(path, 0666) < 0)
		r = error_sys(err, -errno, "socket %s", path);
	return r;
}

static int start_tls(struct http_server *server, struct error *err)
{
	const struct luod_options *options = &server->luod->options;
	struct tls_files files = {0};
	int r;

	if (!options->listen[0])
		return 0;
	server->tls_listener.tls = true;
	r = tls_load_library(server, err);
	if (r == 0)
		r = cert_roles_load(options->tls_clients, &server->roles, err);
	if (r == 0)
		r = tls_files_load(options, &files, err);
	if (r == 0)
		r = tls_listen(server, &server->tls_listener.fd, err);
	if (r == 0)
		r = start(&server->tls_listener, options->listen, &files, err);
	tls_files_done(&files);
	return r;
}

int http_server_new(struct luod *luod, struct http_server **ret, struct error *err)
{
	struct http_server *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return error_set(err, -ENOMEM, "HTTP server: out of memory");
	server->luod = luod;
	server->unix_listener.server = server->tls_listener.server = server;
	server->unix_listener.fd = server->tls_listener.fd = FD_NONE;
	r = loop_timer_new(luod->loop, on_timeout, server, &server->timer, err);
	if (r == 0)
		r = loop_timer_new(luod->loop, on_wait_timeout, server, &server->wait_timer, err);
	if (r == 0)
		r = loop_timer_new(luod->loop, on_sweep, server, &server->sweep_timer, err);
	if (r == 0)
		r = listen_unix(server, err);
	if (r < 0) {
		http_server_free(server);
		return r;
	}
	*ret = server;
	return 0;
}

int http_server_start(struct http_server *server, struct error *err)
{
	int r;

	if (server->unix_listener.daemon)
		return 0;
	r = http_library_load(HTTP_LIBRARY_NAME, "install it", &server->mhd, err);
	if (r == 0)
		r = start(&server->unix_listener, server->luod->options.api_socket, NULL, err);
	if (r == 0)
		r = start_tls(server, err);
	if (r == 0)
		loop_timer_arm(server->sweep_timer, SWEEP_MS * NSEC_PER_MSEC,
			       SWEEP_MS * NSEC_PER_MSEC);
	return r;
}

static void listener_free(struct http_listener *listener)
{
	loop_remove_fd(listener->source);
	/* The daemon, where there is one, owns the socket. */
	if (listener->daemon)
		listener->server->mhd.stop_daemon(listener->daemon);
	else
		close_fdp(&listener->fd);
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	http_end_all(server);
	stream_wake_all(server, true);
	listener_free(&server->unix_listener);
	listener_free(&server->tls_listener);
	loop_timer_free(server->timer);
	loop_timer_free(server->wait_timer);
	loop_timer_free(server->sweep_timer);
	cert_roles_done(&server->roles);
	free(server);
}
