/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kinds/kinds.h"

const struct machine_kind *const machine_kinds[] = {
	&machine_kind_disk,
	&machine_kind_net,
	&machine_kind_vsock,
	&machine_kind_balloon,
	&machine_kind_rng,
	&machine_kind_hvc,
	NULL,
};
