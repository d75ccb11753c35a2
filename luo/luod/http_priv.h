/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the HTTP server: http.c (requests), http_server.c (connections),
 * http_stream.c (events), http_tls.c. */
#ifndef HOLDFAST_LUOD_HTTP_PRIV_H
#define HOLDFAST_LUOD_HTTP_PRIV_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "base/http_library.h"
#include "luo/luod/http.h"

/* One connection. */
struct http_client {
	struct http_client *next, **link;
	struct http_server *server;
	int fd; /* borrowed from the library */
	struct caller caller;
	bool tls;
	bool known;	      /* caller is set */
	bool refused;	      /* one too many of this user */
	uint64_t deadline_ns; /* for the request that it sends; 0 while it is being answered */
};

/* One request from its first header to its answer. */
struct exchange {
	struct http_server *server;
	struct MHD_Connection *connection;
	struct http_client *client;
	struct exchange *next; /* while it waits: for a change, or for a handler; or is a stream */
	bool waiting, waited;  /* for a revision */
	uint64_t wait_ns;      /* until then */
	bool lasting;	       /* counted in the limits of those */
	/* An answer that comes later. */
	bool pending, finished;
	int code;
	struct http_response late;
	struct error late_error;
	struct exchange **slot;
	/* A stream of events. */
	bool streaming, idle; /* idle: suspended until there is something */
	uint64_t idle_ns;     /* since when */
	uint64_t seen;	      /* number of the event that went out last */
	size_t sent;	      /* bytes of the one after it */
	char vm[LUO_VM_ID_MAX + 1];
	char greeting[256]; /* goes out first */
	/* The body. */
	bool too_large;
	size_t used;
	char *body; /* owned */
};

struct http_listener {
	struct http_server *server;
	int fd; /* owned until there is a daemon */
	struct MHD_Daemon *daemon;
	struct loop_source *source;
	bool tls;
};

/* What is used of GnuTLS; loaded for --listen. */
#define TLS_LIBRARY_SYMBOLS(f)                                                          \
	f(certificate_get_peers) f(certificate_verify_peers) f(free) f(x509_crt_deinit) \
		f(x509_crt_get_dn3) f(x509_crt_import) f(x509_crt_init)

#define TLS_LIBRARY_FIELD(name) __typeof__(gnutls_##name) *name;
struct tls_library {
	TLS_LIBRARY_SYMBOLS(TLS_LIBRARY_FIELD)
};

struct http_server {
	struct luod *luod;
	struct http_library mhd;
	struct tls_library tls;
	struct http_listener unix_listener, tls_listener;
	struct loop_timer *timer;      /* timeouts of connections */
	struct loop_timer *wait_timer; /* of those who wait for a change */
	struct loop_timer *sweep_timer;
	struct http_client *clients;
	struct exchange *waiting, *streams, *pending;
	unsigned int lasting;
	struct cert_roles roles;
};

/* http_server.c: lets the library do what there is to do. */
void http_run(struct http_server *server);

/* http.c: the library's callbacks. */
enum MHD_Result http_on_request(void *opaque, struct MHD_Connection *connection, const char *url,
				const char *method, const char *version, const char *upload,
				size_t *upload_size, void **state);
void http_on_completed(void *opaque, struct MHD_Connection *connection, void **state,
		       enum MHD_RequestTerminationCode code);
/* Answers those who wait for a change and whose time is at or before until_ns. */
void http_wake_waiting(struct http_server *server, uint64_t until_ns);
/* At shutdown: nobody may be left suspended. */
void http_end_all(struct http_server *server);
/* False: there are too many such requests; the answer is queued. */
bool http_admit_lasting(struct exchange *x, enum MHD_Result *ret);

/* http_stream.c */
enum MHD_Result stream_begin(struct exchange *x, const char *vm);
void stream_wake_all(struct http_server *server, bool keepalive);

/* http_tls.c: for --listen; before the other functions of it. */
int tls_load_library(struct http_server *server, struct error *err);
int tls_listen(struct http_server *server, int *ret_fd, struct error *err);
/* The options of the daemon: key, certificate and CA as texts, owned by the caller. */
struct tls_files {
	char *cert, *key, *client_ca;
};
int tls_files_load(const struct luod_options *options, struct tls_files *ret, struct error *err);
void tls_files_done(struct tls_files *files);
/* Who is at the other end; ROLE_NONE when its certificate is not one that counts. */
void tls_identify(struct http_server *server, struct MHD_Connection *connection,
		  struct caller *caller);

#endif
