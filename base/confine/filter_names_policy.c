/* SPDX-License-Identifier: Apache-2.0 */
/* No policy: for `filter_gen names`. */
#include "base/confine/policy.h"

const char policy_array[] = "no_filters";
const struct policy policies[] = {{0}};
