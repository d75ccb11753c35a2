/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict reading of JSON objects (jansson): every key must be asked for, and everything that is
 * wrong is collected, so that a user sees all of it at once. Values come out with their documented
 * default when absent.
 */
#ifndef HOLDFAST_BASE_JSON_H
#define HOLDFAST_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Collected problems: "memory.size: must be ...; disks[1].pth: unknown key". Zero-initialised. */
struct problems {
	unsigned int count;
	char text[ERROR_MESSAGE_MAX];
};

void problem_add(struct problems *p, const char *fmt, ...) _printf_(2, 3);
/* 0, or -EINVAL with all texts in err, "; " between them. */
int problems_result(const struct problems *p, struct error *err);

/* Keys one object may have. */
#define JSON_KEYS_MAX 48

struct json_reader {
	json_t *object;	  /* borrowed; NULL reads as an empty object */
	const char *path; /* "" at the top, else "memory" or "disks[1]"; borrowed */
	struct problems *problems;
	const char *known[JSON_KEYS_MAX]; /* keys asked for so far: string literals of the caller */
	unsigned int known_count;
};

/* The key arguments below must stay valid until json_reader_end(). */

/* value must be an object, else a problem is added and everything reads as absent. */
void json_reader_init(struct json_reader *r, json_t *value, const char *path,
		      struct problems *problems);
bool json_has(const struct json_reader *r, const char *key);
/* A string of at most max - 1 bytes, borrowed from the document; fallback when absent. */
const char *json_get_string(struct json_reader *r, const char *key, const char *fallback,
			    size_t max);
/*
 * Copies a string of fewer than size bytes without NUL bytes into field, "" when it is absent or
 * wrong. printable: visible ASCII and blanks only, as a guest or a terminal shows it.
 */
void json_get_text(struct json_reader *r, const char *key, bool printable, char *field,
		   size_t size);
uint64_t json_get_u64(struct json_reader *r, const char *key, uint64_t fallback, uint64_t min,
		      uint64_t max);
bool json_get_bool(struct json_reader *r, const char *key, bool fallback);
/* Bytes: a number, or a string with a K, M, G or T suffix ("2G": powers of 1024). */
uint64_t json_get_size(struct json_reader *r, const char *key, uint64_t fallback, uint64_t min,
		       uint64_t max);
/* Of any type; NULL when absent. Borrowed. */
json_t *json_get_value(struct json_reader *r, const char *key);
/* NULL when absent or of the wrong type (the latter is a problem). Borrowed. */
json_t *json_get_object(struct json_reader *r, const char *key);
json_t *json_get_array(struct json_reader *r, const char *key);
/* Names every key that nobody asked for. Call last. */
void json_reader_end(struct json_reader *r);

/* "2G" -> bytes; -EINVAL for anything else than digits and one suffix, -ERANGE on overflow. */
int size_parse(const char *text, uint64_t *ret);

/* Reads a whole file as JSON, at most 1 MiB; errors name the file, line and column. New reference.
 */
int json_load_path(const char *path, json_t **ret, struct error *err);

#endif
