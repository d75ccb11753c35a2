/* SPDX-License-Identifier: Apache-2.0 */
/* luoctl events and metrics */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "luo/agent.h"
#include "luo/luoctl/luoctl.h"

static void print_time(void)
{
	time_t now = time(NULL);
	char text[16] = "";
	struct tm tm;

	if (localtime_r(&now, &tm))
		strftime(text, sizeof(text), "%H:%M:%S", &tm);
	printf("%s  ", text);
}

static void print_event(const char *kind, const json_t *data)
{
	const char *why = doc_string(data, "why");

	print_time();
	if (strcmp(kind, "vm") == 0)
		printf("vm %s: %s%s%s\n", doc_string(data, "id"), doc_string(data, "phase"),
		       why[0] ? ": " : "", why);
	else if (strcmp(kind, "vm-removed") == 0)
		printf("vm %s: forgotten\n", doc_string(data, "id"));
	else if (strcmp(kind, "device") == 0)
		printf("vm %s: device %s: %s: %s\n", doc_string(data, "id"),
		       doc_string(data, "device"), doc_string(data, "what"),
		       doc_string(data, "message"));
	else if (strcmp(kind, "update") == 0)
		printf("update %s: %s\n", doc_string(data, "id"), doc_string(data, "state"));
	else if (strcmp(kind, "reset") == 0)
		printf("events were missed; luoctl list and luoctl status show what is\n");
	else
		printf("%s\n", kind);
}

static int on_event(void *opaque, const char *kind, json_t *data)
{
	const struct ctl *ctl = opaque;

	if (strcmp(kind, "hello") == 0)
		return 0;
	if (ctl->json) {
		_cleanup_json_ json_t *line = json_pack("{s:s, s:O}", "event", kind, "data", data);

		json_dumpf(line, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_event(kind, data);
	}
	/* Whoever reads a pipe may have gone. */
	return fflush(stdout) == 0 ? 0 : -EIO;
}

int cmd_events(const struct ctl *ctl, int argc, char **argv)
{
	char path[256] = "/api/v1/events", last[EVENT_ID_MAX] = "";
	struct error err = ERROR_INIT;

	if (argc > 2 || (argc == 2 && !agent_id_is_valid(argv[1])))
		return ctl_usage(argv[0], "name one VM, or none for all");
	if (argc == 2)
		snprintf(path, sizeof(path), "/api/v1/vms/%s/events", argv[1]);
	if (api_stream(ctl, path, last, on_event, (void *)(uintptr_t)ctl, &err) == -EIO)
		return CTL_OK;
	return ctl_fail(argv[0], &err);
}

int cmd_metrics(const struct ctl *ctl, int argc, char **argv)
{
	_cleanup_free_ char *text = NULL;
	struct error err = ERROR_INIT;

	if (argc > 1)
		return ctl_usage(argv[0], "%s: it takes no argument", argv[1]);
	if (api_text(ctl, "/metrics", &text, &err) < 0)
		return ctl_fail(argv[0], &err);
	fputs(text ? text : "", stdout);
	return CTL_OK;
}
