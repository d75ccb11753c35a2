/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/adopt.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/log.h"
#include "base/sock.h"
#include "base/work.h"

/* For each step of asking a vmm, and then for its hello. */
#define ANSWER_SECONDS 5
#define HELLO_MS       10000U
#define ANSWER_MAX     8192

struct adoption {
	struct luod *luod;
	struct adoption *next;
	char id[LUO_VM_ID_MAX + 1];
	char api_socket[PATH_MAX];
	char agent[PATH_MAX];
	struct loop_timer *timer; /* owned: until the hello */
	bool asked;		  /* its vmm has agreed */
	bool ended;		  /* luod ends: nobody waits */
	adopt_done_fn *done;
	void *opaque;
};

static void end(struct adoption *a, struct vm *vm, int result, struct error *err)
{
	struct adoption **link = &a->luod->adoptions;

	while (*link && *link != a)
		link = &(*link)->next;
	if (*link)
		*link = a->next;
	if (!a->ended)
		a->done(a->opaque, vm, result, err);
	loop_timer_free(a->timer);
	free(a);
}

static void on_no_hello(void *opaque)
{
	struct adoption *a = opaque;
	struct error err = ERROR_INIT;

	error_set(&err, -ETIMEDOUT,
		  "vm %s: its vmm agreed and did not connect to %s: look at its log", a->id,
		  a->agent);
	end(a, NULL, -ETIMEDOUT, &err);
}

/* One request and its answer, HTTP/1.1 (RFC 9112); the connection ends with it. */
static int exchange(int fd, const char *request, char *answer, size_t size)
{
	size_t used = 0, length = strlen(request);
	ssize_t n;

	if (send(fd, request, length, MSG_NOSIGNAL) != (ssize_t)length)
		return -EIO;
	do {
		n = recv(fd, answer + used, size - 1 - used, 0);
		if (n > 0)
			used += (size_t)n;
	} while (n > 0 && used < size - 1);
	answer[used] = '\0';
	return used > 0 ? 0 : -EIO;
}

/* What a problem document (RFC 9457) says. */
static void read_detail(const char *answer, char *detail, size_t size)
{
	const char *body = strstr(answer, "\r\n\r\n");
	json_t *problem = body ? json_loads(body, 0, NULL) : NULL;
	const char *text = json_string_value(json_object_get(problem, "detail"));

	registry_set_text(detail, size, text ? text : "it gives no reason");
	json_decref(problem);
}

static int talk(const struct adoption *a, int fd, struct error *err)
{
	_cleanup_free_ char *answer = malloc(ANSWER_MAX), *body = NULL;
	json_t *document = json_pack("{s:s, s:s}", "id", a->id, "agent", a->agent);
	char request[PATH_MAX + 512], detail[ERROR_MESSAGE_MAX / 2];
	unsigned int status = 0;

	body = document ? json_dumps(document, JSON_COMPACT) : NULL;
	json_decref(document);
	if (!body || !answer)
		return error_set(err, -ENOMEM, "vm %s: out of memory", a->id);
	snprintf(request, sizeof(request),
		 "PUT /api/v1/vm.adopt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
		 "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		 strlen(body), body);
	if (exchange(fd, request, answer, ANSWER_MAX) < 0 ||
	    sscanf(answer, "HTTP/1.%*1[01] %3u", &status) != 1)
		return error_set(err, -ENOTCONN, "vm %s: there is no vmm at %s that answers", a->id,
				 a->api_socket);
	if (status == 204)
		return 0;
	read_detail(answer, detail, sizeof(detail));
	return error_set(err, -EEXIST, "vm %s: its vmm does not agree: %s", a->id, detail);
}

/* Beside the loop. */
static int on_run(void *opaque, struct error *err)
{
	const struct timeval patience = {.tv_sec = ANSWER_SECONDS};
	struct adoption *a = opaque;
	_cleanup_fd_ int fd = FD_NONE;
	int r = sock_connect(a->api_socket, SOCK_STREAM, &fd, err);

	if (r < 0)
		return error_set(err, -ENOTCONN, "vm %s: nobody listens at %s (%s)", a->id,
				 a->api_socket, strerror(-r));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return error_sys(err, -errno, "vm %s", a->id);
	return talk(a, fd, err);
}

/* Its hello may have been quicker. */
static void on_asked(void *opaque, int result, struct error *err)
{
	struct adoption *a = opaque;
	struct vm_record *record = registry_find(&a->luod->registry, a->id);

	a->asked = true;
	if (a->ended || result < 0) {
		end(a, NULL, result < 0 ? result : -ESHUTDOWN, err);
		return;
	}
	if (record && record->vm->peer) {
		end(a, record->vm, 0, NULL);
		return;
	}
	loop_timer_arm(a->timer, HELLO_MS * NSEC_PER_MSEC, 0);
}

int adopt_begin(struct luod *luod, const char *id, const char *api_socket, adopt_done_fn *done,
		void *opaque, struct error *err)
{
	struct adoption *a;
	int r;

	for (a = luod->adoptions; a; a = a->next) {
		if (strcmp(a->id, id) == 0)
			return error_set(err, -EALREADY, "vm %s: it is being adopted", id);
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return error_set(err, -ENOMEM, "vm %s: out of memory", id);
	*a = (struct adoption){.luod = luod, .done = done, .opaque = opaque};
	snprintf(a->id, sizeof(a->id), "%s", id);
	snprintf(a->api_socket, sizeof(a->api_socket), "%s", api_socket);
	snprintf(a->agent, sizeof(a->agent), "%s", luod->options.socket);
	r = loop_timer_new(luod->loop, on_no_hello, a, &a->timer, err);
	if (r == 0)
		r = work_start(luod->loop, "adopt", on_run, on_asked, a, err);
	if (r < 0) {
		loop_timer_free(a->timer);
		free(a);
		return r;
	}
	a->next = luod->adoptions;
	luod->adoptions = a;
	return 0;
}

void adopt_on_hello(struct luod *luod, struct vm *vm)
{
	for (struct adoption *a = luod->adoptions; a; a = a->next) {
		if (!a->asked || strcmp(a->id, vm->record->id) != 0)
			continue;
		end(a, vm, 0, NULL);
		return;
	}
}

void adopt_end_all(struct luod *luod)
{
	struct adoption *next;

	for (struct adoption *a = luod->adoptions; a; a = next) {
		next = a->next;
		a->ended = true;
		/* One whose vmm is being asked goes with its thread. */
		if (a->asked)
			end(a, NULL, -ESHUTDOWN, NULL);
	}
}
