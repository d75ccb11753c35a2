/* SPDX-License-Identifier: Apache-2.0 */
/* A LUO session as the source: opened here, or passed by the agent. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/client.h"
#include "luo/tokens.h"
#include "vmm/update/source.h"

struct session_source {
	struct source source;
	char name[LUO_SESSION_NAME_SIZE];
	int fd; /* owned */
	bool passed, any_name;
};

static struct session_source *of(struct source *s)
{
	return (struct session_source *)s;
}

static int check_name(struct session_source *s, struct error *err)
{
	char name[LUO_SESSION_NAME_SIZE];
	int r = luo_session_name(s->fd, name, err);

	if (r == 0 && s->any_name)
		return 0;
	if (r < 0)
		return error_prefix(err, "the descriptor that the agent passed: "), r;
	if (strcmp(name, s->name) != 0)
		return error_set(err, -EINVAL,
				 "the agent passed session %s, this VM's is %s: restart luod", name,
				 s->name);
	return 0;
}

/* A session of another VM would be read, or filled, as if it were ours. It is not kept: the agent
 * has it, too. */
static int check_passed(struct session_source *s, struct error *err)
{
	int r;

	if (s->fd < 0)
		return error_set(err, -EBADF, "session %s: the agent has to pass it anew", s->name);
	r = check_name(s, err);
	if (r < 0)
		close_fdp(&s->fd);
	return r;
}

static int session_open(struct source *source, struct error *err)
{
	struct session_source *s = of(source);

	if (s->passed)
		return check_passed(s, err);
	return luo_session_create(s->name, LUO_OPEN_TIMEOUT_MS, &s->fd, err);
}

static int session_take(struct source *source, struct error *err)
{
	struct session_source *s = of(source);

	if (s->passed)
		return check_passed(s, err);
	if (s->fd >= 0)
		return 0;
	return luo_session_retrieve(s->name, LUO_OPEN_TIMEOUT_MS, &s->fd, err);
}

static int session_preserve(struct source *source, int fd, uint64_t token, const char *what,
			    struct error *err)
{
	return luo_session_preserve_fd(of(source)->fd, fd, token, what, err);
}

static int session_retrieve(struct source *source, uint64_t token, const char *what, int *ret_fd,
			    struct error *err)
{
	return luo_session_retrieve_fd(of(source)->fd, token, what, ret_fd, err);
}

static int session_finish(struct source *source, struct error *err)
{
	return luo_session_finish(of(source)->fd, err);
}

static void session_close(struct source *source)
{
	close_fdp(&of(source)->fd);
}

static bool session_is_open(const struct source *source)
{
	return ((const struct session_source *)source)->fd >= 0;
}

static void session_free(struct source *source)
{
	session_close(source);
	free(of(source));
}

static const struct source_ops session_ops = {
	.open = session_open,
	.take = session_take,
	.preserve = session_preserve,
	.retrieve = session_retrieve,
	.finish = session_finish,
	.close = session_close,
	.is_open = session_is_open,
	.crosses_kexec = true,
	.free = session_free,
};

static int session_new(const char *id, int fd, bool passed, struct source **ret, struct error *err)
{
	_cleanup_fd_ int owned = fd;
	struct session_source *s = calloc(1, sizeof(*s));

	if (!s)
		return error_set(err, -ENOMEM, "session of %s: out of memory", id);
	s->source.ops = &session_ops;
	snprintf(s->name, sizeof(s->name), LUO_VM_SESSION_PREFIX "%s", id);
	s->fd = steal_fd(&owned);
	s->passed = passed;
	*ret = &s->source;
	return 0;
}

int source_device_new(const char *id, struct source **ret, struct error *err)
{
	return session_new(id, FD_NONE, false, ret, err);
}

int source_agent_new(const char *id, int session_fd, struct source **ret, struct error *err)
{
	return session_new(id, session_fd, true, ret, err);
}

int source_manager_new(const char *id, int session_fd, struct source **ret, struct error *err)
{
	int r = session_new(id, session_fd, true, ret, err);

	if (r == 0)
		of(*ret)->any_name = true;
	return r;
}

int source_session(const struct source *s)
{
	return s && s->ops == &session_ops ? ((const struct session_source *)s)->fd : FD_NONE;
}

void source_free(struct source *s)
{
	if (s)
		s->ops->free(s);
}
