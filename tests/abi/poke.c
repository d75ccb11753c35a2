/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/abi/poke.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

void poke_expect(struct fixture *f, int code, const char *message)
{
	_cleanup_kho_ struct abi_kho *kho = NULL;
	struct error err = ERROR_INIT;
	int r = fixture_read(f->mem, f->fdt_pa, &kho, &err);

	if (r != code || strcmp(error_message(&err), message) != 0)
		fail_msg("expected %d \"%s\", got %d \"%s\"", code, message, r,
			 error_message(&err));
}

void poke_all(const struct poke *pokes, size_t count, uint32_t kho, uint32_t luo, uint32_t memfd)
{
	_cleanup_kho_ struct abi_kho *model = fixture_model(kho, luo, memfd);

	for (size_t i = 0; i < count; i++) {
		const struct poke *p = &pokes[i];
		struct fixture f;

		fixture_open(&f, model, FIXTURE_CAPACITY);
		if (p->size > 0)
			memcpy(fixture_at(&f, p->pa), &p->value, p->size);
		else
			memset(fixture_at(&f, p->pa), 'A', p->value);
		poke_expect(&f, p->code, p->message);
		fixture_close(&f);
	}
}
