/* SPDX-License-Identifier: Apache-2.0 */
/* The API over TCP: TLS 1.2 or later, and only to clients with a certificate that the configured CA
 * signed. The subject of the certificate decides what the client may do. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/library.h"
#include "base/log.h"
#include "luo/luod/http_priv.h"

#define PEM_MAX (256 * 1024)

int tls_load_library(struct http_server *server, struct error *err)
{
#define OFFSET(symbol) {"gnutls_" #symbol, offsetof(struct tls_library, symbol)},
	static const struct library_symbol symbols[] = {TLS_LIBRARY_SYMBOLS(OFFSET)};

	return library_load("libgnutls.so.30", symbols, ARRAY_SIZE(symbols), &server->tls,
			    "install it, or leave out --listen", err);
}

/* "127.0.0.1:8443" or "[::1]:8443": numbers only, so that no start waits for a name server. */
static int resolve(const char *where, struct addrinfo **ret, struct error *err)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				       .ai_socktype = SOCK_STREAM};
	char host[128], *colon;
	const char *name = host;
	int r = EAI_NONAME;

	snprintf(host, sizeof(host), "%s", where);
	colon = strrchr(host, ':');
	if (colon && colon[1]) {
		*colon = '\0';
		if (host[0] == '[' && colon > host && colon[-1] == ']') {
			colon[-1] = '\0';
			name++;
		}
		r = getaddrinfo(name, colon + 1, &hints, ret);
	}
	return r == 0 ? 0
		      : error_set(err, -EINVAL,
				  "--listen %s: it must be a numeric address and a port, such as"
				  " 192.0.2.1:8443 or [::]:8443",
				  where);
}

int tls_listen(struct http_server *server, int *ret_fd, struct error *err)
{
	const char *where = server->luod->options.listen;
	_cleanup_fd_ int fd = FD_NONE;
	struct addrinfo *address;
	int r = resolve(where, &address, err), on = 1;

	if (r < 0)
		return r;
	fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* A luod that is started again must not wait for the old one's connections to be forgotten.
	 */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0)
		r = error_sys(err, -errno, "--listen %s", where);
	freeaddrinfo(address);
	if (r == 0)
		*ret_fd = steal_fd(&fd);
	return r;
}

static int read_text(FILE *file, const char *path, char **ret, struct error *err)
{
	char *text = malloc(PEM_MAX);
	size_t n;

	if (!text)
		return error_set(err, -ENOMEM, "%s: out of memory", path);
	n = fread(text, 1, PEM_MAX, file);
	if (n == 0 || n == PEM_MAX) {
		free(text);
		return error_set(err, -EINVAL, "%s: it is empty, unreadable or too large", path);
	}
	text[n] = '\0';
	*ret = text;
	return 0;
}

static int load_text(const char *path, char **ret, struct error *err)
{
	FILE *file = fopen(path, "re");
	int r;

	if (!file)
		return error_sys(err, -errno, "%s", path);
	r = read_text(file, path, ret, err);
	fclose(file);
	return r;
}

static int check_key(const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) == 0 && (st.st_mode & 0077))
		return error_set(err, -EPERM,
				 "%s: others can read or change this key; chmod 600 it, and make a"
				 " new one if they did",
				 path);
	return 0;
}

int tls_files_load(const struct luod_options *options, struct tls_files *ret, struct error *err)
{
	int r = check_key(options->tls_key, err);

	if (r == 0)
		r = load_text(options->tls_cert, &ret->cert, err);
	if (r == 0)
		r = load_text(options->tls_key, &ret->key, err);
	if (r == 0)
		r = load_text(options->tls_client_ca, &ret->client_ca, err);
	return r;
}

void tls_files_done(struct tls_files *files)
{
	free(files->cert);
	/* The library has its own copy. */
	if (files->key)
		explicit_bzero(files->key, strlen(files->key));
	free(files->key);
	free(files->client_ca);
	*files = (struct tls_files){0};
}

/* The subject as RFC 4514 has it; -EACCES for a certificate that does not count. */
static int read_subject(const struct tls_library *tls, gnutls_session_t session, char *subject,
			size_t size)
{
	const gnutls_datum_t *chain;
	unsigned int count = 0, status = 0;
	gnutls_x509_crt_t cert;
	gnutls_datum_t dn = {0};
	int r;

	/* Who signed it, whether it is still valid, and whether it is one for clients. */
	gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
					 .data = (void *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT};

	if (tls->certificate_verify_peers(session, &purpose, 1, &status) < 0 || status != 0)
		return -EACCES;
	chain = tls->certificate_get_peers(session, &count);
	if (!chain || count == 0 || tls->x509_crt_init(&cert) < 0)
		return -EACCES;
	r = tls->x509_crt_import(cert, &chain[0], GNUTLS_X509_FMT_DER);
	if (r == 0)
		r = tls->x509_crt_get_dn3(cert, &dn, 0);
	tls->x509_crt_deinit(cert);
	if (r < 0 || !dn.data)
		return -EACCES;
	r = dn.size < size && !memchr(dn.data, '\0', dn.size) ? 0 : -EACCES;
	if (r == 0)
		snprintf(subject, size, "%.*s", (int)dn.size, (const char *)dn.data);
	(*tls->free)(dn.data);
	return r;
}

void tls_identify(struct http_server *server, struct MHD_Connection *connection,
		  struct caller *caller)
{
	const union MHD_ConnectionInfo *info =
		server->mhd.get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	char subject[512];

	*caller = (struct caller){0};
	if (info && read_subject(&server->tls, (gnutls_session_t)info->tls_session, subject,
				 sizeof(subject)) == 0)
		caller_from_subject(caller, &server->roles, subject);
}
