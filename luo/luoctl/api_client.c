/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP to luod (libcurl): over its UNIX socket, or TLS. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/luoctl/luoctl.h"

#define ANSWER_MAX (64 * MIB)
/* Longer than luod lets a client wait for a change. */
#define TIMEOUT_S 60L

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

/* Where to, and who we are. NULL when out of memory. */
static CURL *new_request(const struct ctl *ctl, const char *path)
{
	CURL *curl = curl_easy_init();
	char url[1024];

	if (!curl)
		return NULL;
	/* On the socket the host's name is nobody's. */
	snprintf(url, sizeof(url), "%s%s", ctl->url ? ctl->url : "http://luod", path);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	if (ctl->url) {
		curl_easy_setopt(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
		curl_easy_setopt(curl, CURLOPT_PROXY, "");
	} else {
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, ctl->socket);
	}
	if (ctl->cacert)
		curl_easy_setopt(curl, CURLOPT_CAINFO, ctl->cacert);
	if (ctl->cert)
		curl_easy_setopt(curl, CURLOPT_SSLCERT, ctl->cert);
	if (ctl->key)
		curl_easy_setopt(curl, CURLOPT_SSLKEY, ctl->key);
	return curl;
}

static int set_unreachable(const struct ctl *ctl, CURLcode code, struct error *err)
{
	return error_set(err, -ECONNREFUSED, "luod does not answer on %s: %s; is it running%s?",
			 ctl->url ? ctl->url : ctl->socket, curl_easy_strerror(code),
			 ctl->url ? ", and is the certificate one that it knows" : "");
}

/* status: of the answer. */
static int perform(CURL *curl, const struct ctl *ctl, struct buffer *answer, long *status,
		   struct error *err)
{
	CURLcode code;

	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
	code = curl_easy_perform(curl);
	if (code != CURLE_OK)
		return set_unreachable(ctl, code, err);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
	return 0;
}

int api_call(const struct ctl *ctl, const char *method, const char *path, json_t *body,
	     json_t **ret, struct error *err)
{
	_cleanup_free_ char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	CURL *curl = new_request(ctl, path);
	struct curl_slist *headers = NULL;
	struct buffer answer = {0};
	long status = 0;
	int r;

	*ret = NULL;
	if (!curl || (body && !text)) {
		curl_easy_cleanup(curl);
		return error_set(err, -ENOMEM, "out of memory");
	}
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	if (text) {
		headers = curl_slist_append(headers, "Content-Type: application/json");
		/* No "100-continue" round for what is small. */
		headers = curl_slist_append(headers, "Expect:");
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	}
	r = perform(curl, ctl, &answer, &status, err);
	if (r == 0)
		r = read_answer(status, &answer, ret, err);
	free(answer.data);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return r;
}

int api_text(const struct ctl *ctl, const char *path, char **ret, struct error *err)
{
	CURL *curl = new_request(ctl, path);
	struct buffer answer = {0};
	json_t *doc = NULL;
	long status = 0;
	int r;

	if (!curl)
		return error_set(err, -ENOMEM, "out of memory");
	r = perform(curl, ctl, &answer, &status, err);
	curl_easy_cleanup(curl);
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

static int stream_result(const struct ctl *ctl, CURL *curl, CURLcode code, struct stream *stream,
			 struct error *err)
{
	json_t *doc = NULL;
	long status = 0;

	if (stream->result != 0)
		return stream->result;
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (status == 0)
		return set_unreachable(ctl, code, err);
	if (status != 200)
		return read_answer(status, &stream->buffer, &doc, err);
	return error_set(err, -EPIPE, "luod closed the connection");
}

int api_stream(const struct ctl *ctl, const char *path, char last[EVENT_ID_MAX], api_event_fn *fn,
	       void *opaque, struct error *err)
{
	struct stream stream = {.last = last, .fn = fn, .opaque = opaque};
	CURL *curl = new_request(ctl, path);
	struct curl_slist *headers = NULL;
	char header[EVENT_ID_MAX + 32];
	CURLcode code;
	int r;

	if (!curl)
		return error_set(err, -ENOMEM, "out of memory");
	snprintf(header, sizeof(header), "Last-Event-ID: %s", last);
	if (last[0])
		headers = curl_slist_append(NULL, header);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_stream);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &stream);
	/* A stream that says nothing for longer than luod ever does is dead. */
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, TIMEOUT_S);
	code = curl_easy_perform(curl);
	r = stream_result(ctl, curl, code, &stream, err);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	json_decref(stream.data);
	free(stream.buffer.data);
	return r;
}
