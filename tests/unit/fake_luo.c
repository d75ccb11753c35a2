/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A LUO in this process. A session's descriptor is the write end of a pipe: when its last copy is
 * closed, the read end says so.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include <fcntl.h>

#include "base/util.h"
#include "fake_priv.h"
#include "luo/client.h"

#define SESSIONS_MAX 8
#define FILES_MAX    16

struct session {
	char name[LUO_SESSION_NAME_SIZE];
	bool incoming, taken, finished;
	int read_end; /* owned */
	ino_t inode;  /* of the pipe: finds the session of a descriptor */
	struct {
		uint64_t token;
		int fd; /* owned */
	} files[FILES_MAX];
	unsigned int count;
};

static struct session sessions[SESSIONS_MAX];
static unsigned int session_count;

static bool is_closed(const struct session *s)
{
	struct pollfd p = {.fd = s->read_end, .events = 0};

	if (s->incoming && !s->taken)
		return false;
	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

static struct session *find(const char *name, bool incoming)
{
	for (unsigned int i = 0; i < session_count; i++) {
		if (strcmp(sessions[i].name, name) == 0 && sessions[i].incoming == incoming)
			return &sessions[i];
	}
	return NULL;
}

static struct session *of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	for (unsigned int i = 0; i < session_count; i++) {
		if (sessions[i].inode == st.st_ino)
			return &sessions[i];
	}
	return NULL;
}

static int open_descriptor(struct session *s)
{
	struct stat st;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(fstat(ends[0], &st), 0);
	s->read_end = ends[0];
	s->inode = st.st_ino;
	return ends[1];
}

static void drop(struct session *s)
{
	while (s->count > 0)
		close(s->files[--s->count].fd);
	if (s->read_end > 0)
		close(s->read_end);
	*s = sessions[--session_count];
}

/* What the kernel does at the last close. */
static void reap(void)
{
	for (unsigned int i = session_count; i-- > 0;) {
		if (!sessions[i].incoming && is_closed(&sessions[i]))
			drop(&sessions[i]);
	}
}

void fake_reset(void)
{
	while (session_count > 0)
		drop(&sessions[0]);
	memset(&fake, 0, sizeof(fake));
}

int luo_probe(unsigned int timeout_ms _unused_, struct error *err _unused_)
{
	return 0;
}

static int create(const char *name)
{
	struct session *s = &sessions[session_count++];

	assert_true(session_count <= SESSIONS_MAX);
	*s = (struct session){0};
	snprintf(s->name, sizeof(s->name), "%s", name);
	return open_descriptor(s);
}

int luo_session_create(const char *name, unsigned int timeout_ms _unused_, int *ret_fd,
		       struct error *err)
{
	int r = fake_try(FAKE_CREATE, err);

	if (r < 0)
		return r;
	reap();
	if (find(name, false))
		return error_set(err, -EEXIST, "session %s: exists", name);
	*ret_fd = create(name);
	return 0;
}

int luo_session_retrieve(const char *name, unsigned int timeout_ms _unused_, int *ret_fd,
			 struct error *err)
{
	struct session *s = find(name, true);
	int r = fake_try(FAKE_RETRIEVE, err);

	if (r < 0)
		return r;
	if (!s)
		return error_set(err, -ENOENT, "session %s: not there", name);
	if (s->taken)
		return error_set(err, -EALREADY, "session %s: taken already", name);
	s->taken = true;
	*ret_fd = open_descriptor(s);
	return 0;
}

int luo_session_preserve_fd(int session_fd, int fd, uint64_t token, const char *what,
			    struct error *err)
{
	struct session *s = of(session_fd);
	int r = fake_try(FAKE_PRESERVE, err);

	if (r < 0)
		return r;
	assert_non_null(s);
	assert_false(s->incoming);
	/* A device that gives memory back now would be refused, or spoil what is being pinned. */
	assert_true(s->name[0] == '?' || !fake.machine || machine_memory_is_kept(fake.machine));
	for (unsigned int i = 0; i < s->count; i++) {
		if (s->files[i].token == token)
			return error_set(err, -EEXIST, "%s: token in use", what);
	}
	assert_true(s->count < FILES_MAX);
	s->files[s->count].token = token;
	s->files[s->count++].fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

int luo_session_retrieve_fd(int session_fd, uint64_t token, const char *what, int *ret_fd,
			    struct error *err)
{
	struct session *s = of(session_fd);
	int r = fake_try(FAKE_RETRIEVE_FD, err);

	if (r < 0)
		return r;
	assert_non_null(s);
	assert_true(s->incoming);
	assert_false(s->finished);
	for (unsigned int i = 0; i < s->count; i++) {
		if (s->files[i].token == token) {
			*ret_fd = fcntl(s->files[i].fd, F_DUPFD_CLOEXEC, 0);
			return 0;
		}
	}
	return error_set(err, -ENOENT, "%s: no such token", what);
}

int luo_session_finish(int session_fd, struct error *err)
{
	struct session *s = of(session_fd);
	int r = fake_try(FAKE_FINISH, err);

	if (r < 0)
		return r;
	assert_non_null(s);
	assert_true(s->incoming);
	s->finished = true;
	return 0;
}

int luo_session_name(int session_fd, char name[LUO_SESSION_NAME_SIZE], struct error *err)
{
	struct session *s = of(session_fd);
	int r = fake_try(FAKE_NAME, err);

	if (r < 0)
		return r;
	if (!s)
		return error_set(err, -ENOTTY, "not a session");
	memcpy(name, s->name, LUO_SESSION_NAME_SIZE);
	return 0;
}

bool fake_session_open(const char *name)
{
	struct session *s = find(name, true);

	if (s)
		return s->taken && !is_closed(s);
	s = find(name, false);
	return s && !is_closed(s);
}

bool fake_session_gone(const char *name)
{
	const struct session *s = find(name, true);

	return !s || s->finished || is_closed(s);
}

bool fake_session_finished(const char *name)
{
	const struct session *s = find(name, true);

	return s && s->finished;
}

int fake_preserved(const char *name, uint64_t token)
{
	const struct session *s = find(name, false);

	if (!s)
		s = find(name, true);
	for (unsigned int i = 0; s && i < s->count; i++) {
		if (s->files[i].token == token)
			return s->files[i].fd;
	}
	return FD_NONE;
}

void fake_kexec(void)
{
	for (unsigned int i = session_count; i-- > 0;) {
		struct session *s = &sessions[i];

		if (s->incoming || is_closed(s)) {
			drop(s);
			continue;
		}
		close(s->read_end);
		s->read_end = 0;
		s->inode = 0;
		s->incoming = true;
	}
}

int fake_pass_session(const char *name, bool incoming)
{
	struct session *s = incoming ? find(name, true) : NULL;

	if (!incoming)
		return create(name);
	assert_non_null(s);
	s->taken = true;
	return open_descriptor(s);
}
