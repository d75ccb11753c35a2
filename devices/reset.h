/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ways in which a PC's software resets it: the reset control register (port 0xcf9; Intel
 * 300 Series PCH data sheet vol. 2, RST_CNT; FADT RESET_REG) and the keyboard controller's reset
 * pulse (command 0xfe on port 0x64). There is no keyboard: 0x64 reads 0, "nothing there, ready", so
 * that an OS that waits for the controller before it resets does not wait long.
 */
#ifndef HOLDFAST_DEVICES_RESET_H
#define HOLDFAST_DEVICES_RESET_H

#include "base/error.h"
#include "base/state.h"
#include "devices/attach.h"

#define RESET_CF9_IO_SIZE 1
#define RESET_KBD_IO_SIZE 1
#define RESET_STATE_MAX	  256 /* bytes of a state blob at most */

struct reset;

struct reset_params {
	struct machine_control control; /* MACHINE_REQUEST_RESET */
};

/* Any thread. */
int reset_new(const struct reset_params *params, struct reset **ret, struct error *err);
void reset_free(struct reset *reset); /* NULL is fine */

/* opaque: struct reset for both. vCPU threads. */
extern const struct io_ops reset_cf9_io_ops;
extern const struct io_ops reset_kbd_io_ops;
/* obj: struct reset. Node "reset". */
extern const struct state_ops reset_state_ops;

#endif
