/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP over luod's UNIX socket (libcurl). */
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

static int perform(CURL *curl, const struct ctl *ctl, json_t **ret, struct error *err)
{
	struct buffer answer = {0};
	CURLcode code;
	long status = 0;
	int r;

	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, ctl->socket);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	code = curl_easy_perform(curl);
	if (code == CURLE_OK) {
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
		r = read_answer(status, &answer, ret, err);
	} else {
		r = error_set(err, -ECONNREFUSED,
			      "luod does not answer on %s: %s; is it running, and are you root?",
			      ctl->socket, curl_easy_strerror(code));
	}
	free(answer.data);
	return r;
}

int api_call(const struct ctl *ctl, const char *method, const char *path, json_t *body,
	     json_t **ret, struct error *err)
{
	_cleanup_free_ char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct curl_slist *headers = NULL;
	char url[512];
	CURL *curl = curl_easy_init();
	int r;

	*ret = NULL;
	if (!curl || (body && !text)) {
		curl_easy_cleanup(curl);
		return error_set(err, -ENOMEM, "out of memory");
	}
	/* The host's name is nobody's: the socket decides. */
	snprintf(url, sizeof(url), "http://luod%s", path);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	if (text) {
		headers = curl_slist_append(headers, "Content-Type: application/json");
		/* No "100-continue" round for what is small. */
		headers = curl_slist_append(headers, "Expect:");
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	}
	r = perform(curl, ctl, ret, err);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return r;
}
