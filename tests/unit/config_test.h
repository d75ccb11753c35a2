/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of configurations share. */
#ifndef HOLDFAST_TESTS_UNIT_CONFIG_TEST_H
#define HOLDFAST_TESTS_UNIT_CONFIG_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "vmm/config_priv.h"

/* A document over the defaults. */
static inline int read_text(const char *text, struct vm_config *config, struct error *err)
{
	json_t *json = json_loads(text, 0, NULL);
	int r;

	assert_non_null(json);
	vm_config_init(config);
	r = vm_config_from_json(json, config, err);
	json_decref(json);
	return r;
}

/* It says all of these words, and leaves the configuration as it was. */
static inline void assert_refused(const char *text, const char *const *words)
{
	struct vm_config config, untouched;
	struct error err = ERROR_INIT;

	vm_config_init(&untouched);
	assert_int_equal(read_text(text, &config, &err), -EINVAL);
	for (; *words; words++) {
		if (!strstr(err.message, *words))
			fail_msg("\"%s\" is not in \"%s\"", *words, err.message);
	}
	assert_memory_equal(&config, &untouched, sizeof(config));
}

#define REFUSED(text, ...) assert_refused(text, (const char *const[]){__VA_ARGS__, NULL})

#endif
