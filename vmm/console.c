/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/console.h"

/* As if the guest had switched itself off. */
static void console_quit(void *opaque)
{
	const struct machine_control *control = opaque;

	control->request(control->opaque, MACHINE_REQUEST_POWEROFF);
}

int console_open(const char *key, const struct console_config *config, struct loop *loop,
		 struct machine_control *control, struct chardev **ret, struct error *err)
{
	static const enum chardev_kind kinds[] = {
		[CONSOLE_OFF] = CHARDEV_OFF,	   [CONSOLE_STDIO] = CHARDEV_STDIO,
		[CONSOLE_PTY] = CHARDEV_PTY,	   [CONSOLE_FILE] = CHARDEV_FILE,
		[CONSOLE_SOCKET] = CHARDEV_SOCKET,
	};
	const struct chardev_params params = {.kind = kinds[config->mode],
					      .path = config->path,
					      .loop = loop,
					      .quit = console_quit,
					      .opaque = control};
	int r = chardev_new(&params, ret, err);

	return r < 0 ? (error_prefix(err, "%s: ", key), r) : 0;
}
