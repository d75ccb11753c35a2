/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static int failure(int code)
{
	return code < 0 ? code : -EIO;
}

int(error_vset)(struct error *err, int code, const char *fmt, va_list ap)
{
	code = failure(code);
	if (!err)
		return code;
	err->code = code;
	vsnprintf(err->message, sizeof(err->message), fmt, ap);
	text_make_printable(err->message);
	return code;
}

int(error_set)(struct error *err, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	code = error_vset(err, code, fmt, ap);
	va_end(ap);
	return code;
}

static void append_text(struct error *err, const char *text)
{
	size_t used = strlen(err->message);

	snprintf(err->message + used, sizeof(err->message) - used, "%s", text);
	text_make_printable(err->message);
}

int(error_sys)(struct error *err, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	code = error_vset(err, code, fmt, ap);
	va_end(ap);
	if (!err)
		return code;
	append_text(err, ": ");
	append_text(err, strerror(-code));
	return code;
}

void error_prefix(struct error *err, const char *fmt, ...)
{
	char old[ERROR_MESSAGE_MAX];
	va_list ap;

	if (!err)
		return;
	memcpy(old, err->message, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(err->message, sizeof(err->message), fmt, ap);
	va_end(ap);
	append_text(err, old);
}

void error_append(struct error *err, const char *fmt, ...)
{
	char text[ERROR_MESSAGE_MAX];
	va_list ap;

	if (!err)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	append_text(err, text);
}

const char *error_message(const struct error *err)
{
	if (!err)
		return "unknown error";
	if (err->message[0])
		return err->message;
	return err->code ? strerror(-err->code) : "no error";
}

void error_clear(struct error *err)
{
	if (!err)
		return;
	err->code = 0;
	err->message[0] = '\0';
}
