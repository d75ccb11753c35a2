/* SPDX-License-Identifier: Apache-2.0 */
/* Ownership by scope, and the small arithmetic everybody needs. Header only. */
#ifndef HOLDFAST_BASE_UTIL_H
#define HOLDFAST_BASE_UTIL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn)	 __attribute__((cleanup(fn)))
#define _unused_	 __attribute__((unused))
#define _warn_unused_	 __attribute__((warn_unused_result))
#define ARRAY_SIZE(a)	 (sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b)	 ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b)	 ((a) > (b) ? (a) : (b))
#define ALIGN_UP(x, a)	 (((x) + ((a) - 1)) & ~((a) - 1))
#define ALIGN_DOWN(x, a) ((x) & ~((a) - 1))
#define KIB		 1024ULL
#define MIB		 (1024ULL * KIB)
#define GIB		 (1024ULL * MIB)
#define NSEC_PER_SEC	 1000000000ULL
#define NSEC_PER_MSEC	 1000000ULL

/* "No descriptor": -EBADF, because 0 is a valid one. */
#define FD_NONE (-EBADF)

static inline void close_fdp(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = FD_NONE;
}

static inline void free_p(void *p)
{
	free(*(void **)p);
}

/* A descriptor or an allocation that this scope owns. */
#define _cleanup_fd_   _cleanup_(close_fdp)
#define _cleanup_free_ _cleanup_(free_p)

/* Takes the descriptor out of the variable that owned it: the visible line of a hand-over. */
static inline int steal_fd(int *fd)
{
	int taken = *fd;

	*fd = FD_NONE;
	return taken;
}

/* The same for a pointer, keeping its type. */
#define STEAL_PTR(p)                         \
	({                                   \
		__typeof__(p) *_pp = &(p);   \
		__typeof__(p) _taken = *_pp; \
		*_pp = NULL;                 \
		_taken;                      \
	})

#endif
