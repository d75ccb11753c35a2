/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors under tokens that one vmm exported and another is to adopt; luod has them meanwhile.
 */
#ifndef HOLDFAST_LUOD_HANDOVER_H
#define HOLDFAST_LUOD_HANDOVER_H

#include "base/util.h"
#include "luo/agent.h"

struct handover {
	struct agent_tokens tokens; /* count 0: nothing */
	int fds[AGENT_TOKENS_MAX];  /* owned, in the order of the tokens */
};

static inline void handover_drop(struct handover *h)
{
	while (h->tokens.count > 0)
		close(h->fds[--h->tokens.count]);
}

#endif
