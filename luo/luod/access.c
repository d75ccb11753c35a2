/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/access.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/util.h"

void caller_from_uid(struct caller *caller, uid_t uid)
{
	*caller = (struct caller){.uid = uid};
	caller->role = uid == 0 || uid == geteuid() ? ROLE_ADMIN : ROLE_OWNER;
	snprintf(caller->name, sizeof(caller->name), "uid %u", uid);
}

bool caller_may_see(const struct caller *caller, uid_t owner)
{
	return caller->role == ROLE_VIEWER || caller_may_act(caller, owner);
}

bool caller_may_act(const struct caller *caller, uid_t owner)
{
	return caller->role == ROLE_ADMIN || (caller->role == ROLE_OWNER && caller->uid == owner);
}

bool caller_may_use(const struct caller *caller, enum access access)
{
	switch (access) {
	case ACCESS_ANY:
	case ACCESS_VM:
		return caller->role != ROLE_NONE;
	case ACCESS_READ:
		return caller->role == ROLE_VIEWER || caller->role == ROLE_ADMIN;
	case ACCESS_ADMIN:
		break;
	}
	return caller->role == ROLE_ADMIN;
}

static int parse_role(const char *word, struct cert_role *entry)
{
	uint64_t uid;

	if (strcmp(word, "admin") == 0)
		entry->role = ROLE_ADMIN;
	else if (strcmp(word, "viewer") == 0)
		entry->role = ROLE_VIEWER;
	else if (strncmp(word, "uid=", 4) == 0)
		entry->role = ROLE_OWNER;
	else
		return -EINVAL;
	if (entry->role != ROLE_OWNER)
		return 0;
	/* What root may do is the role admin: it must not come in by a number. */
	if (decimal_parse(word + 4, UINT32_MAX - 1, &uid) < 0 || uid == 0)
		return -EINVAL;
	entry->uid = (uid_t)uid;
	return 0;
}

static int add_line(struct cert_roles *roles, char *line)
{
	char *rest = line, *word = strsep(&rest, " \t");
	struct cert_role entry = {0}, *grown;

	if (rest)
		rest += strspn(rest, " \t");
	if (!rest || !*rest || parse_role(word, &entry) < 0)
		return -EINVAL;
	grown = reallocarray(roles->entries, roles->count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	roles->entries = grown;
	entry.subject = strdup(rest);
	if (!entry.subject)
		return -ENOMEM;
	grown[roles->count++] = entry;
	return 0;
}

int cert_roles_load(const char *path, struct cert_roles *ret, struct error *err)
{
	FILE *file = fopen(path, "re");
	struct cert_roles roles = {0};
	char line[1024];
	unsigned int number = 0;
	int r = 0;

	if (!file)
		return error_sys(err, -errno, "%s", path);
	while (r == 0 && fgets(line, sizeof(line), file)) {
		number++;
		line[strcspn(line, "\r\n")] = '\0';
		if (line[0] == '#' || line[strspn(line, " \t")] == '\0')
			continue;
		r = add_line(&roles, line);
	}
	fclose(file);
	if (r < 0) {
		cert_roles_done(&roles);
		return error_set(
			err, r,
			"%s: line %u: it must be \"admin\", \"viewer\" or \"uid=N\" (not 0)"
			" and the subject of a certificate",
			path, number);
	}
	*ret = roles;
	return 0;
}

void cert_roles_done(struct cert_roles *roles)
{
	for (size_t i = 0; i < roles->count; i++)
		free(roles->entries[i].subject);
	free(roles->entries);
	*roles = (struct cert_roles){0};
}

void caller_from_subject(struct caller *caller, const struct cert_roles *roles, const char *subject)
{
	*caller = (struct caller){0};
	registry_set_text(caller->name, sizeof(caller->name), subject);
	for (size_t i = 0; i < roles->count; i++) {
		if (strcmp(roles->entries[i].subject, subject) != 0)
			continue;
		caller->role = roles->entries[i].role;
		caller->uid = roles->entries[i].uid;
		return;
	}
}
