/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luod/state_file.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "luo/luod/snapshot.h"

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_SIZE 37

static int write_text(int fd, const char *text)
{
	size_t size = strlen(text), done = 0;

	while (done < size) {
		ssize_t n = write(fd, text + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

int file_write_json(const char *path, const json_t *doc, struct error *err)
{
	_cleanup_free_ char *text = json_dumps(doc, JSON_INDENT(1));
	_cleanup_fd_ int fd = FD_NONE;
	char new_path[PATH_MAX];
	int r;

	if (!text)
		return error_set(err, -ENOMEM, "%s: out of memory", path);
	if (snprintf(new_path, sizeof(new_path), "%s.new", path) >= (int)sizeof(new_path))
		return error_set(err, -ENAMETOOLONG, "%s: the path is too long", path);
	fd = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_sys(err, -errno, "%s: cannot create it", new_path);
	r = write_text(fd, text);
	if (r < 0) {
		unlink(new_path);
		return error_sys(err, r, "%s: cannot write it", new_path);
	}
	if (rename(new_path, path) < 0) {
		r = -errno;
		unlink(new_path);
		return error_sys(err, r, "%s: cannot replace it", path);
	}
	return 0;
}

static void read_boot_id(char boot_id[BOOT_ID_SIZE])
{
	_cleanup_fd_ int fd = open(BOOT_ID_PATH, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, boot_id, BOOT_ID_SIZE - 1) : 0;

	boot_id[MAX_OF(n, 0)] = '\0';
}

static void state_path(const struct luod *luod, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s/luod.json", luod->options.run_dir) >= PATH_MAX)
		path[0] = '\0';
}

int state_file_write(const struct luod *luod, struct error *err)
{
	json_t *registry = registry_to_json(&luod->registry, false), *doc;
	char path[PATH_MAX], boot_id[BOOT_ID_SIZE];
	int r;

	read_boot_id(boot_id);
	state_path(luod, path);
	doc = json_pack("{s:s, s:o}", "boot-id", boot_id, "registry", registry);
	if (!doc)
		return error_set(err, -ENOMEM, "%s: out of memory", path);
	r = file_write_json(path, doc, err);
	json_decref(doc);
	return r;
}

int state_file_read(struct luod *luod, struct error *err)
{
	char path[PATH_MAX], boot_id[BOOT_ID_SIZE];
	const char *of_boot;
	json_t *doc;
	int r;

	state_path(luod, path);
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	r = json_load_path(path, &doc, err);
	if (r < 0)
		return r;
	read_boot_id(boot_id);
	of_boot = json_string_value(json_object_get(doc, "boot-id"));
	if (!of_boot || strcmp(of_boot, boot_id) != 0) {
		json_decref(doc);
		return 0;
	}
	r = registry_from_json(json_object_get(doc, "registry"), &luod->registry, err);
	json_decref(doc);
	if (r < 0) {
		error_prefix(err, "%s: ", path);
		return r;
	}
	return 1;
}

static void settle_vm(struct vm_record *record)
{
	if (record->status != VM_STARTING && record->status != VM_CONNECTED &&
	    record->status != VM_DISCONNECTED)
		return;
	if (record->pid > 0 && kill(record->pid, 0) == 0) {
		/* It connects again and says where it stands. */
		record->status = VM_DISCONNECTED;
		return;
	}
	record->pid = 0;
	if (record->resume) {
		/* Started, and gone before it took its session: it is still to be taken up. */
		record->status = VM_PRESERVED;
		return;
	}
	record->status = VM_STOPPED;
	registry_set_text(record->why, sizeof(record->why),
			  "its vmm ended while no luod was there");
}

void state_file_settle(struct luod *luod)
{
	struct update_record *update = &luod->registry.update;

	for (struct vm_record *record = luod->registry.vms; record; record = record->next)
		settle_vm(record);
	if (!update->id[0] || update_has_ended(update) || update->state == UPDATE_RESUMING)
		return;
	log_warning("update %s: the luod that ran it ended during it; its guests go on here",
		    update->id);
	for (struct vm_record *record = luod->registry.vms; record; record = record->next)
		snapshot_forget(record);
	update->state = UPDATE_FAILED;
	registry_set_text(update->why, sizeof(update->why), "luod ended during it");
	registry_archive_update(&luod->registry);
}
