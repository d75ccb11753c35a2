/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "luo/luoctl/luoctl.h"

static void add(struct table *table, char *text)
{
	char **grown = reallocarray(table->cells, table->count + 1, sizeof(*grown));

	if (!grown) {
		free(text);
		return;
	}
	table->cells = grown;
	table->cells[table->count++] = text;
}

void table_init(struct table *table, const char *const *titles, unsigned int columns)
{
	*table = (struct table){.columns = columns};
	for (unsigned int i = 0; i < columns; i++)
		table_cell(table, "%s", titles[i]);
}

void table_cell(struct table *table, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	add(table, text);
}

static const char *cell_text(const char *cell)
{
	return cell && cell[0] ? cell : "-";
}

void table_print(const struct table *table)
{
	size_t widths[TABLE_COLUMNS_MAX] = {0};

	for (unsigned int i = 0; i < table->count; i++) {
		size_t *width = &widths[i % table->columns];

		*width = MAX_OF(*width, strlen(cell_text(table->cells[i])));
	}
	for (unsigned int i = 0; i < table->count; i++) {
		unsigned int column = i % table->columns;

		if (column + 1 == table->columns)
			printf("%s\n", cell_text(table->cells[i]));
		else
			printf("%-*s  ", (int)widths[column], cell_text(table->cells[i]));
	}
}

void table_done(struct table *table)
{
	for (unsigned int i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	*table = (struct table){0};
}
