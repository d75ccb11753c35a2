/* SPDX-License-Identifier: Apache-2.0 */
/* What system calls are called, by number; NULL where libseccomp knew none. Made by filter_gen. */
#ifndef HOLDFAST_BASE_CONFINE_FILTER_NAMES_H
#define HOLDFAST_BASE_CONFINE_FILTER_NAMES_H

#define FILTER_CALL_NAMES_MAX 512

extern const char *const filter_call_names[FILTER_CALL_NAMES_MAX];

#endif
