/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP to luod (libcurl): over its UNIX socket, or TLS. */
#include <curl/curl.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/library.h"
#include "base/util.h"
#include "luo/luoctl/luoctl.h"

#define ANSWER_MAX (64 * MIB)
/* Longer than luod lets a client wait for a change. */
#define TIMEOUT_S 60L

/* The interface that curl/curl.h describes, and what is used of it, without the prefix curl_. */
#define CURL_LIBRARY_NAME "libcurl.so.4"
#define CURL_FUNCTIONS(f)                                                           \
	f(easy_cleanup) f(easy_getinfo) f(easy_init) f(easy_perform) f(easy_setopt) \
		f(easy_strerror) f(global_init) f(slist_append) f(slist_free_all)

#define CURL_FIELD(name) __typeof__(curl_##name) *(name);
/* Loaded by the first request: commands that make none run in an initrd, before the guests do. */
struct api_client {
	bool loaded;
	CURL_FUNCTIONS(CURL_FIELD)
};

struct buffer {
	char *data;
	size_t used;
};

static size_t on_data(char *data, size_t size, size_t count, void *opaque)
{
	struct buffer *buffer = opaque;
	size_t bytes = size * count;
	char *grown;

	if (bytes > ANSWER_MAX - buffer->used)
		return 0;
	grown = realloc(buffer->data, buffer->used + bytes + 1);
	if (!grown)
		return 0;
	buffer->data = grown;
	memcpy(buffer->data + buffer->used, data, bytes);
	buffer->used += bytes;
	buffer->data[buffer->used] = '\0';
	return bytes;
}

static int read_answer(long status, const struct buffer *answer, json_t **ret, struct error *err)
{
	json_t *doc = answer->used ? json_loadb(answer->data, answer->used, 0, NULL) : NULL;

	if (answer->used && !doc)
		return error_set(err, -EPROTO, "luod: its answer (status %ld) is not JSON", status);
	if (status >= 200 && status < 300) {
		*ret = doc;
		return 0;
	}
	error_set(err, -EREMOTEIO, "%s",
		  doc_string(doc, "detail")[0] ? doc_string(doc, "detail") : "luod refused");
	if (!doc_string(doc, "detail")[0])
		error_append(err, " (status %ld)", status);
	json_decref(doc);
	return -EREMOTEIO;
}

static int load(struct api_client *c, struct error *err)
{
#define OFFSET(function) {"curl_" #function, offsetof(struct api_client, function)},
	static const struct library_symbol functions[] = {CURL_FUNCTIONS(OFFSET)};
	int r;

	if (!c)
		return error_set(err, -ENOMEM, "out of memory");
	if (c->loaded)
		return 0;
	r = library_load(CURL_LIBRARY_NAME, functions, ARRAY_SIZE(functions), c, "install it", err);
	if (r == 0 && c->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		r = error_set(err, -EIO, "libcurl: it cannot be set up");
	c->loaded = r == 0;
	return r;
}

/* Where to, and who we are. */
static int new_request(const struct ctl *ctl, const char *path, CURL **ret, struct error *err)
{
	const struct api_client *c = ctl->client;
	int r = load(ctl->client, err);
	char url[1024];
	CURL *curl;

	if (r < 0)
		return r;
	curl = c->easy_init();
	if (!curl)
		return error_set(err, -ENOMEM, "out of memory");
	/* On the socket the host's name is nobody's. */
	snprintf(url, sizeof(url), "%s%s", ctl->url ? ctl->url : "http://luod", path);
	c->easy_setopt(curl, CURLOPT_URL, url);
	c->easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	if (ctl->url) {
		c->easy_setopt(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
		c->easy_setopt(curl, CURLOPT_PROXY, "");
	} else {
		c->easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, ctl->socket);
	}
	if (ctl->cacert)
		c->easy_setopt(curl, CURLOPT_CAINFO, ctl->cacert);
	if (ctl->cert)
		c->easy_setopt(curl, CURLOPT_SSLCERT, ctl->cert);
	if (ctl->key)
		c->easy_setopt(curl, CURLOPT_SSLKEY, ctl->key);
	*ret = curl;
	return 0;
}

static int set_unreachable(const struct ctl *ctl, CURLcode code, struct error *err)
{
	return error_set(err, -ECONNREFUSED, "luod does not answer on %s: %s; is it running%s?",
			 ctl->url ? ctl->url : ctl->socket, ctl->client->easy_strerror(code),
			 ctl->url ? ", and is the certificate one that it knows" : "");
}

/* status: of the answer. */
static int perform(CURL *curl, const struct ctl *ctl, struct buffer *answer, long *status,
		   struct error *err)
{
	const struct api_client *c = ctl->client;
	CURLcode code;

	c->easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	c->easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	c->easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
	code = c->easy_perform(curl);
	if (code != CURLE_OK)
		return set_unreachable(ctl, code, err);
	c->easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
	return 0;
}

int api_call(const struct ctl *ctl, const char *method, const char *path, json_t *body,
	     json_t **ret, struct error *err)
{
	_cleanup_free_ char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	const struct api_client *c = ctl->client;
	struct curl_slist *headers = NULL;
	struct buffer answer = {0};
	long status = 0;
	CURL *curl;
	int r;

	*ret = NULL;
	if (body && !text)
		return error_set(err, -ENOMEM, "out of memory");
	r = new_request(ctl, path, &curl, err);
	if (r < 0)
		return r;
	c->easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	if (text) {
		headers = c->slist_append(headers, "Content-Type: application/json");
		/* No "100-continue" round for what is small. */
		headers = c->slist_append(headers, "Expect:");
		c->easy_setopt(curl, CURLOPT_POSTFIELDS, text);
		c->easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	}
	r = perform(curl, ctl, &answer, &status, err);
	if (r == 0)
		r = read_answer(status, &answer, ret, err);
	free(answer.data);
	c->slist_free_all(headers);
	c->easy_cleanup(curl);
	return r;
}

int api_text(const struct ctl *ctl, const char *path, char **ret, struct error *err)
{
	struct buffer answer = {0};
	json_t *doc = NULL;
	long status = 0;
	CURL *curl;
	int r = new_request(ctl, path, &curl, err);

	if (r < 0)
		return r;
	r = perform(curl, ctl, &answer, &status, err);
	ctl->client->easy_cleanup(curl);
	if (r == 0 && status != 200)
		r = read_answer(status, &answer, &doc, err);
	json_decref(doc);
	if (r < 0)
		free(answer.data);
	else
		*ret = answer.data;
	return r;
}

/* Server-sent events (WHATWG HTML, section 9.2.6), as far as luod uses them: one data line. */
struct stream {
	struct buffer buffer; /* what has not made a line yet */
	char kind[32];
	json_t *data; /* owned */
	char *last;
	api_event_fn *fn;
	void *opaque;
	int result;
	curl_off_t seen;   /* bytes */
	uint64_t heard_ns; /* when the last of them came */
};

static void take_line(struct stream *stream, const char *line)
{
	if (strncmp(line, "id: ", 4) == 0) {
		snprintf(stream->last, EVENT_ID_MAX, "%s", line + 4);
	} else if (strncmp(line, "event: ", 7) == 0) {
		snprintf(stream->kind, sizeof(stream->kind), "%s", line + 7);
	} else if (strncmp(line, "data: ", 6) == 0) {
		json_decref(stream->data);
		stream->data = json_loads(line + 6, 0, NULL);
	} else if (!line[0] && stream->data) {
		stream->result = stream->fn(stream->opaque, stream->kind, stream->data);
		json_decref(stream->data);
		stream->data = NULL;
	}
}

static size_t on_stream(char *data, size_t size, size_t count, void *opaque)
{
	struct stream *stream = opaque;
	size_t taken = on_data(data, size, count, &stream->buffer);
	char *line = stream->buffer.data, *end;

	if (taken != size * count)
		return 0;
	while (stream->result == 0 && (end = strchr(line, '\n'))) {
		*end = '\0';
		take_line(stream, line);
		line = end + 1;
	}
	stream->buffer.used -= (size_t)(line - stream->buffer.data);
	memmove(stream->buffer.data, line, stream->buffer.used + 1);
	/* Another number than asked for ends the transfer. */
	return stream->result == 0 ? taken : 0;
}

/* A stream that says nothing for longer than luod ever does is dead. What it says to be alive is
 * too little to be a speed to curl. */
static int on_progress(void *opaque, curl_off_t total _unused_, curl_off_t now,
		       curl_off_t upload_total _unused_, curl_off_t upload_now _unused_)
{
	struct stream *stream = opaque;

	if (now != stream->seen) {
		stream->seen = now;
		stream->heard_ns = clock_monotonic_ns();
	}
	return clock_monotonic_ns() - stream->heard_ns > TIMEOUT_S * NSEC_PER_SEC;
}

static int stream_result(const struct ctl *ctl, CURL *curl, CURLcode code, struct stream *stream,
			 struct error *err)
{
	json_t *doc = NULL;
	long status = 0;

	if (stream->result != 0)
		return stream->result;
	ctl->client->easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (status == 0)
		return set_unreachable(ctl, code, err);
	if (status != 200)
		return read_answer(status, &stream->buffer, &doc, err);
	return error_set(err, -EPIPE, "luod closed the connection");
}

int api_stream(const struct ctl *ctl, const char *path, char last[EVENT_ID_MAX], api_event_fn *fn,
	       void *opaque, struct error *err)
{
	struct stream stream = {
		.last = last, .fn = fn, .opaque = opaque, .heard_ns = clock_monotonic_ns()};
	const struct api_client *c = ctl->client;
	struct curl_slist *headers = NULL;
	char header[EVENT_ID_MAX + 32];
	CURLcode code;
	CURL *curl;
	int r = new_request(ctl, path, &curl, err);

	if (r < 0)
		return r;
	snprintf(header, sizeof(header), "Last-Event-ID: %s", last);
	if (last[0])
		headers = c->slist_append(NULL, header);
	c->easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	c->easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_stream);
	c->easy_setopt(curl, CURLOPT_WRITEDATA, &stream);
	c->easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	c->easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	c->easy_setopt(curl, CURLOPT_XFERINFODATA, &stream);
	code = c->easy_perform(curl);
	r = stream_result(ctl, curl, code, &stream, err);
	c->slist_free_all(headers);
	c->easy_cleanup(curl);
	json_decref(stream.data);
	free(stream.buffer.data);
	return r;
}

struct api_client *api_client_new(void)
{
	return calloc(1, sizeof(struct api_client));
}
