/* SPDX-License-Identifier: Apache-2.0 */
/* luoctl list, create, start, adopt, owner, resume, forget */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "luo/agent.h"
#include "luo/luoctl/luoctl.h"

static void print_vms(json_t *vms)
{
	static const char *const titles[] = {"ID", "PHASE", "PID", "CPUS", "MEMORY", "NOTE"};
	struct table table;
	json_t *vm;
	size_t i;

	table_init(&table, titles, ARRAY_SIZE(titles));
	json_array_foreach(vms, i, vm)
	{
		table_cell(&table, "%s", doc_string(vm, "id"));
		table_cell(&table, "%s", doc_string(vm, "phase"));
		table_cell(&table, "%lld", doc_integer(vm, "pid"));
		table_cell(&table, "%lld", doc_integer(vm, "cpus"));
		table_cell(&table, "%lldM", doc_integer(vm, "memory") >> 20);
		table_cell(&table, "%s",
			   doc_string(vm, "why")[0] ? doc_string(vm, "why")
			   : json_is_true(json_object_get(vm, "preserve"))
				   ? ""
				   : "not preserved on update");
	}
	table_print(&table);
	table_done(&table);
}

int cmd_list(const struct ctl *ctl, int argc, char **argv)
{
	_cleanup_json_ json_t *doc = NULL;
	struct error err = ERROR_INIT;

	if (argc > 1)
		return ctl_usage(argv[0], "%s: it takes no argument", argv[1]);
	if (api_call(ctl, "GET", "/api/v1/vms", NULL, &doc, &err) < 0)
		return ctl_fail(argv[0], &err);
	if (ctl->json)
		ctl_print_json(doc);
	else
		print_vms(json_object_get(doc, "vms"));
	return CTL_OK;
}

/* Waits until the VM is more than started; returns an exit status. */
static int wait_for_start(const struct ctl *ctl, const char *command, const char *id, json_t **doc)
{
	struct error err = ERROR_INIT;
	char path[256];

	while (strcmp(doc_string(*doc, "phase"), "starting") == 0) {
		snprintf(path, sizeof(path), "/api/v1/vms/%s?wait=%lld", id,
			 doc_integer(*doc, "revision"));
		json_decref(*doc);
		if (api_call(ctl, "GET", path, NULL, doc, &err) < 0)
			return ctl_fail(command, &err);
	}
	if (strcmp(doc_string(*doc, "phase"), "failed") == 0 ||
	    strcmp(doc_string(*doc, "phase"), "stopped") == 0) {
		error_set(&err, -EIO, "vm %s: %s: %s", id, doc_string(*doc, "phase"),
			  doc_string(*doc, "why"));
		return ctl_fail(command, &err);
	}
	return CTL_OK;
}

static int print_started(const struct ctl *ctl, const char *command, const char *id, json_t **doc)
{
	int status = wait_for_start(ctl, command, id, doc);

	if (status != CTL_OK)
		return status;
	if (ctl->json)
		ctl_print_json(*doc);
	else
		printf("%s: %s (pid %lld)\n", doc_string(*doc, "id"), doc_string(*doc, "phase"),
		       doc_integer(*doc, "pid"));
	return CTL_OK;
}

/* Takes "[--owner UID] FILE" or, where an id will do, "ID"; argv[1] is that then. */
static int take_file(int argc, char **argv, const char **owner, const char *what)
{
	const struct ctl_option option = {"owner", owner, NULL};
	int count;

	if (ctl_options(argc, argv, &option, 1, &count) < 0)
		return CTL_USAGE;
	if (count != 1 || (*owner && strspn(*owner, "0123456789") != strlen(*owner)))
		return ctl_usage(argv[0], "name one %s; an owner is a number", what);
	return CTL_OK;
}

static int post_file(const struct ctl *ctl, const char *file, const char *owner, bool start,
		     json_t **doc, struct error *err)
{
	_cleanup_json_ json_t *config = NULL;
	char path[128];
	int r = json_load_path(file, &config, err);

	snprintf(path, sizeof(path), "/api/v1/vms?start=%s%s%.20s", start ? "true" : "false",
		 owner ? "&owner=" : "", owner ? owner : "");
	return r < 0 ? r : api_call(ctl, "POST", path, config, doc, err);
}

int cmd_create(const struct ctl *ctl, int argc, char **argv)
{
	_cleanup_json_ json_t *doc = NULL;
	struct error err = ERROR_INIT;
	const char *owner = NULL;

	if (take_file(argc, argv, &owner, "file with the VM's configuration") != CTL_OK)
		return CTL_USAGE;
	if (post_file(ctl, argv[1], owner, false, &doc, &err) < 0)
		return ctl_fail(argv[0], &err);
	if (ctl->json)
		ctl_print_json(doc);
	else
		printf("%s: created\n", doc_string(doc, "id"));
	return CTL_OK;
}

int cmd_start(const struct ctl *ctl, int argc, char **argv)
{
	_cleanup_json_ json_t *doc = NULL;
	struct error err = ERROR_INIT;
	const char *owner = NULL;
	char path[256], id[64];
	int r;

	if (take_file(argc, argv, &owner, "file with the VM's configuration, or one VM") != CTL_OK)
		return CTL_USAGE;
	if (agent_id_is_valid(argv[1]) && access(argv[1], F_OK) < 0) {
		snprintf(path, sizeof(path), "/api/v1/vms/%s/start", argv[1]);
		r = api_call(ctl, "PUT", path, NULL, &doc, &err);
	} else {
		r = post_file(ctl, argv[1], owner, true, &doc, &err);
	}
	if (r < 0)
		return ctl_fail(argv[0], &err);
	snprintf(id, sizeof(id), "%s", doc_string(doc, "id"));
	return print_started(ctl, argv[0], id, &doc);
}

int cmd_owner(const struct ctl *ctl, int argc, char **argv)
{
	_cleanup_json_ json_t *body = NULL;
	_cleanup_json_ json_t *doc = NULL;
	struct error err = ERROR_INIT;
	char path[256];
	uint64_t uid;

	if (argc != 3 || !agent_id_is_valid(argv[1]) || size_parse(argv[2], &uid) < 0)
		return ctl_usage(argv[0], "name one VM and a user's number");
	body = json_pack("{s:I}", "uid", (json_int_t)uid);
	snprintf(path, sizeof(path), "/api/v1/vms/%s/owner", argv[1]);
	if (api_call(ctl, "PUT", path, body, &doc, &err) < 0)
		return ctl_fail(argv[0], &err);
	if (ctl->json)
		ctl_print_json(doc);
	return CTL_OK;
}

/* A command line with one option at most and the id of a VM, which is argv[1] then. */
static int take_id(int argc, char **argv, const struct ctl_option *option)
{
	int count;

	if (ctl_options(argc, argv, option, 1, &count) < 0)
		return CTL_USAGE;
	if (count != 1 || !agent_id_is_valid(argv[1]))
		return ctl_usage(argv[0], "name one VM");
	return CTL_OK;
}

int cmd_resume(const struct ctl *ctl, int argc, char **argv)
{
	const char *binary = NULL;
	const struct ctl_option option = {"vmm", &binary, NULL};
	_cleanup_json_ json_t *body = json_object();
	_cleanup_json_ json_t *doc = NULL;
	struct error err = ERROR_INIT;
	char path[256];

	if (take_id(argc, argv, &option) != CTL_OK)
		return CTL_USAGE;
	if (ctl_set_file(ctl, body, "vmm", binary, &err) < 0)
		return ctl_fail(argv[0], &err);
	snprintf(path, sizeof(path), "/api/v1/vms/%s/resume", argv[1]);
	if (api_call(ctl, "PUT", path, body, &doc, &err) < 0)
		return ctl_fail(argv[0], &err);
	if (ctl->json)
		ctl_print_json(doc);
	else
		printf("%s: being taken up; see luoctl list\n", argv[1]);
	return CTL_OK;
}

int cmd_adopt(const struct ctl *ctl, int argc, char **argv)
{
	_cleanup_json_ json_t *body = json_object();
	_cleanup_json_ json_t *doc = NULL;
	struct error err = ERROR_INIT;
	char path[256];

	if (argc != 3 || !agent_id_is_valid(argv[1]))
		return ctl_usage(argv[0], "name one VM and the socket of its API");
	if (ctl_set_file(ctl, body, "api-socket", argv[2], &err) < 0)
		return ctl_fail(argv[0], &err);
	snprintf(path, sizeof(path), "/api/v1/vms/%s/adopt", argv[1]);
	if (api_call(ctl, "POST", path, body, &doc, &err) < 0)
		return ctl_fail(argv[0], &err);
	if (ctl->json)
		ctl_print_json(doc);
	else
		printf("%s: %s (pid %lld)\n", argv[1], doc_string(doc, "phase"),
		       doc_integer(doc, "pid"));
	return CTL_OK;
}

int cmd_forget(const struct ctl *ctl, int argc, char **argv)
{
	bool discard = false;
	const struct ctl_option option = {"discard", NULL, &discard};
	_cleanup_json_ json_t *doc = NULL;
	struct error err = ERROR_INIT;
	char path[256];

	if (take_id(argc, argv, &option) != CTL_OK)
		return CTL_USAGE;
	snprintf(path, sizeof(path), "/api/v1/vms/%s%s", argv[1], discard ? "?discard=true" : "");
	if (api_call(ctl, "DELETE", path, NULL, &doc, &err) < 0)
		return ctl_fail(argv[0], &err);
	return CTL_OK;
}
