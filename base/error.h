/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: every function that can fail returns a negative errno and, where a user will read about
 * it, fills a struct error with one sentence that names the object, the reason and the way out.
 * Layers above add what they know with error_prefix(); only the top logs or prints it.
 */
#ifndef HOLDFAST_BASE_ERROR_H
#define HOLDFAST_BASE_ERROR_H

#include <stdarg.h>

#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))

/* Long enough for a path, a name and two sentences; a longer message is cut at the end. */
#define ERROR_MESSAGE_MAX 1024

struct error {
	int code; /* negative errno, 0 while unset */
	/* Whatever is put in: UTF-8 without control characters, see text_make_printable(). */
	char message[ERROR_MESSAGE_MAX];
};

/* The empty error: `struct error err = ERROR_INIT;` */
#define ERROR_INIT {0}

/*
 * Sets the message and returns code, so that a failure is one line: return error_set(err, -ENOENT,
 * ...). err may be NULL (the caller does not care for words). A message that is set already is
 * replaced. What is returned is always negative: a code that is not (an errno that nobody had set)
 * becomes -EIO, so that no failure passes for a success.
 */
int error_set(struct error *err, int code, const char *fmt, ...) _printf_(3, 4);
int error_vset(struct error *err, int code, const char *fmt, va_list ap) _printf_(3, 0);

/*
 * Like error_set(), with ": <strerror(-code)>" at the end. For failures whose reason is the errno
 * itself.
 */
int error_sys(struct error *err, int code, const char *fmt, ...) _printf_(3, 4);

/* Lets the compiler and the analyzer count on what error_set() promises. */
static inline int error_negative(int code)
{
	if (code >= 0)
		__builtin_unreachable();
	return code;
}
#define error_set(err, code, ...)      error_negative(error_set(err, code, __VA_ARGS__))
#define error_vset(err, code, fmt, ap) error_negative(error_vset(err, code, fmt, ap))
#define error_sys(err, code, ...)      error_negative(error_sys(err, code, __VA_ARGS__))

/* Puts text in front of the message that is there: "vm web1: " + "no such session". Keeps the code.
 */
void error_prefix(struct error *err, const char *fmt, ...) _printf_(2, 3);

/* Adds a sentence after the message, for a way out known only higher up. Keeps the code. */
void error_append(struct error *err, const char *fmt, ...) _printf_(2, 3);

/* The message, or the errno's own text where none was set; never NULL. */
const char *error_message(const struct error *err);

/* Back to ERROR_INIT. */
void error_clear(struct error *err);

#endif
