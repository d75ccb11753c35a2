/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks, and what he may. A client is known by SO_PEERCRED on the UNIX socket, or by the
 * subject of its certificate over TLS. docs/api/README.md has the table for users.
 */
#ifndef HOLDFAST_LUOD_ACCESS_H
#define HOLDFAST_LUOD_ACCESS_H

#include "luo/luod/registry.h"

enum role {
	ROLE_NONE,   /* nothing */
	ROLE_OWNER,  /* the VMs whose owner is `uid`: reads them and acts on them */
	ROLE_VIEWER, /* reads everything */
	ROLE_ADMIN,  /* everything */
};

struct caller {
	enum role role;
	uid_t uid;	/* of ROLE_OWNER; of all others only for the log */
	char name[160]; /* "uid 1000" or the subject, for the log */
};

/* What a route asks of its caller. */
enum access {
	ACCESS_ANY,  /* any role; VMs of others are not shown */
	ACCESS_READ, /* viewer and admin */
	ACCESS_VM,   /* to read: who may see the VM that {id} names; to act: owner and admin */
	ACCESS_ADMIN,
};

/* Root and luod's own user are admins; everybody else has what is his. */
void caller_from_uid(struct caller *caller, uid_t uid);

bool caller_may_see(const struct caller *caller, uid_t owner);
bool caller_may_act(const struct caller *caller, uid_t owner);
/* Of a whole route; ACCESS_VM passes any role, its VM is checked where it is looked up. */
bool caller_may_use(const struct caller *caller, enum access access);

/*
 * Subjects of certificates and their roles: lines "admin SUBJECT", "viewer SUBJECT" or "uid=N
 * SUBJECT", the subject as RFC 4514 has it ("CN=ops,O=Example"); "#" begins a comment line.
 */
struct cert_roles {
	struct cert_role {
		enum role role;
		uid_t uid;
		char *subject; /* owned */
	} *entries;
	size_t count;
};

/* Errors name the file and the line. */
int cert_roles_load(const char *path, struct cert_roles *ret, struct error *err);
void cert_roles_done(struct cert_roles *roles);
/* ROLE_NONE for a subject that is not there. */
void caller_from_subject(struct caller *caller, const struct cert_roles *roles,
			 const char *subject);

#endif
