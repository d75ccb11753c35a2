/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile DISK USER VICTIM-DISK VICTIM-SOCKET VICTIM-PID: in each role of a vmm that has DISK and
 * runs as USER ("-": as it is started), tries what an attacker would with what belongs to others.
 * One line for each: "ROLE: ATTACK: done|refused (ERRNO)|killed". Exit status 1: the test is
 * broken.
 */
#include <stdio.h>
#include <string.h>

#include "base/confine/landlock.h"
#include "base/util.h"
#include "tests/unit/hostile.h"

static int try_all(const char *role, const struct hostile_victim *victim,
		   const struct vm_config *own)
{
	struct hostile_result result;

	for (const struct hostile_attack *a = hostile_attacks; a->name; a++) {
		hostile_run(role, a, victim, own, &result);
		if (result.end == HOSTILE_BROKEN) {
			printf("%s: %s: broken (%d): %s\n", role, a->name, result.code,
			       result.said);
			return 1;
		}
		if (result.end == HOSTILE_DONE)
			printf("%s: %s: done\n", role, a->name);
		else if (result.end == HOSTILE_KILLED)
			printf("%s: %s: killed\n", role, a->name);
		else
			printf("%s: %s: refused (%s)\n", role, a->name, strerror(result.code));
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const roles[] = {"main", "vcpu", "disk", "net", "balloon"};
	struct hostile_victim victim;
	struct vm_config own;
	int r = 0;

	if (argc != 6)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	vm_config_init(&own);
	snprintf(own.id, sizeof(own.id), "hostile");
	snprintf(own.kernel, sizeof(own.kernel), "%s", argv[1]);
	own.console.mode = CONSOLE_OFF;
	own.disk_count = 1;
	virtio_blk_config_init(&own.disks[0]);
	snprintf(own.disks[0].path, sizeof(own.disks[0].path), "%s", argv[1]);
	if (strcmp(argv[2], "-") != 0)
		snprintf(own.confine.user, sizeof(own.confine.user), "%s", argv[2]);
	victim = (struct hostile_victim){argv[3], argv[3], argv[4], (pid_t)atoi(argv[5])};
	printf("Landlock ABI %d\n", landlock_abi(NULL));
	for (unsigned int i = 0; i < ARRAY_SIZE(roles) && r == 0; i++)
		r = try_all(roles[i], &victim, &own);
	return r;
}
