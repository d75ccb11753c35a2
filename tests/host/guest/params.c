// SPDX-License-Identifier: Apache-2.0
/* The parameters of the guest, "hf.NAME=VALUE" on the kernel's command line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

static uint64_t size_of(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	switch (*end) {
	case 'G':
		return value << 30;
	case 'M':
		return value << 20;
	case 'K':
		return value << 10;
	default:
		return value;
	}
}

static void set(struct params *params, const char *name, const char *value)
{
	if (!strcmp(name, "fill"))
		params->fill = size_of(value);
	else if (!strcmp(name, "key"))
		params->key = strtoull(value, NULL, 0);
	else if (!strcmp(name, "beat"))
		params->beat_ms = (unsigned int)strtoul(value, NULL, 0);
	else if (!strcmp(name, "churn"))
		params->churn_kib = (unsigned int)strtoul(value, NULL, 0);
	else if (!strcmp(name, "spin"))
		params->spin = strcmp(value, "0") != 0;
	else if (!strcmp(name, "power"))
		params->ignore_power = !strcmp(value, "ignore");
	else if (!strcmp(name, "disk"))
		params->disk_writers = (unsigned int)strtoul(value, NULL, 0);
	else if (!strcmp(name, "net"))
		snprintf(params->net, sizeof(params->net), "%s", value);
	else if (!strcmp(name, "rest"))
		params->disk_rest_ms = (unsigned int)strtoul(value, NULL, 0);
	else if (!strcmp(name, "root"))
		snprintf(params->root, sizeof(params->root), "%s", value);
	else if (!strcmp(name, "srv"))
		snprintf(params->srv, sizeof(params->srv), "%s", value);
	else if (!strcmp(name, "once"))
		params->leave_at_once = !strcmp(value, "poweroff");
	else if (!strcmp(name, "calm"))
		params->calm = (unsigned int)strtoul(value, NULL, 0);
	else if (!strcmp(name, "lost"))
		params->lost = size_of(value);
	else if (!strcmp(name, "quiet"))
		params->quiet = strcmp(value, "0") != 0;
	else
		say("fault kind=parameter name=%s", name);
}

void params_read(struct params *params)
{
	char line[4096] = "", *rest = line, *word;
	FILE *file = fopen("/proc/cmdline", "r");

	*params = (struct params){
		.fill = 16 << 20,
		.key = 0x686f6c6466617374,
		.beat_ms = 250,
		.churn_kib = 1024,
		.spin = true,
		.calm = 1,
	};
	if (!file)
		return;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	fclose(file);
	while ((word = strsep(&rest, " \n"))) {
		char *value = strchr(word, '=');

		if (strncmp(word, "hf.", 3) != 0 || !value)
			continue;
		*value++ = '\0';
		set(params, word + 3, value);
	}
}
