/* SPDX-License-Identifier: Apache-2.0 */
#include "luo/luoctl/timeline_svg.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/util.h"
#include "luo/luoctl/luoctl.h"
#include "luo/timeline.h"

/* Pixels. */
#define WIDTH	   1000
#define LEFT	   150 /* names */
#define PREPARE_W  150
#define GAP	   24
#define RIGHT	   110 /* blackouts */
#define TOP	   72
#define ROW	   26
#define BAR	   16
#define BOTTOM	   56
#define MAIN_X	   (LEFT + PREPARE_W + GAP)
#define MAIN_W	   (WIDTH - MAIN_X - RIGHT)
#define NAME_CHARS 18
/* Finish may go on for long: no more of it is shown than this part of the rest. */
#define FINISH_PART 0.15

static const char *const colours[TIMELINE_PHASE_MAX] = {
	[TIMELINE_PREFLIGHT] = "#d9d9d9", [TIMELINE_PREPARE] = "#9ecae1",
	[TIMELINE_FREEZE] = "#e6550d",	  [TIMELINE_KEXEC] = "#756bb1",
	[TIMELINE_RETRIEVE] = "#238b45",  [TIMELINE_LOAD] = "#74c476",
	[TIMELINE_RUN] = "#fdae6b",	  [TIMELINE_FINISH] = "#bdbdbd",
};

struct scale {
	double begin, end; /* ms */
	int x, width;
};

struct picture {
	FILE *out;
	const json_t *update, *vms;
	double khz;
	struct scale prepare, main;
};

static void put_text(FILE *out, const char *text, size_t max)
{
	for (size_t i = 0; i < max && text[i]; i++) {
		switch (text[i]) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		default:
			fputc(text[i], out);
		}
	}
	if (strlen(text) > max)
		fputs("…", out);
}

static double position(const struct scale *scale, double ms)
{
	double part = (ms - scale->begin) / (scale->end - scale->begin);

	return scale->x + scale->width * fmin(fmax(part, 0), 1);
}

static bool read_entry(const struct picture *p, const json_t *entry, enum timeline_phase *phase,
		       double *begin, double *end)
{
	const json_t *last = json_object_get(entry, "end");

	*begin = (double)doc_integer(entry, "begin") / p->khz;
	*end = last ? (double)json_integer_value(last) / p->khz : *begin;
	return last && timeline_phase_parse(doc_string(entry, "phase"), phase) == 0;
}

static void grow(struct scale *scale, double begin, double end)
{
	scale->begin = fmin(scale->begin, begin);
	scale->end = fmax(scale->end, end);
}

/* Both scales from what there is: everything of prepare, and freeze to run. */
static void find_scales(struct picture *p)
{
	const json_t *vm, *entry;
	size_t i, j;

	p->prepare = p->main = (struct scale){.begin = INFINITY, .end = -INFINITY};
	json_array_foreach(p->vms, i, vm)
	{
		json_array_foreach(json_object_get(vm, "timeline"), j, entry)
		{
			enum timeline_phase phase;
			double begin, end;

			if (!read_entry(p, entry, &phase, &begin, &end))
				continue;
			if (phase <= TIMELINE_PREPARE)
				grow(&p->prepare, begin, end);
			else if (phase != TIMELINE_FINISH)
				grow(&p->main, begin, end);
		}
	}
	p->main.end += (p->main.end - p->main.begin) * FINISH_PART;
	p->prepare.x = LEFT;
	p->prepare.width = PREPARE_W;
	p->main.x = MAIN_X;
	p->main.width = MAIN_W;
}

static bool has_length(const struct scale *scale)
{
	return scale->end > scale->begin;
}

static void put_duration(FILE *out, double ms)
{
	if (ms >= 10000)
		fprintf(out, "%.1f s", ms / 1000);
	else if (ms >= 1000)
		fprintf(out, "%.2f s", ms / 1000);
	else
		fprintf(out, "%.*f ms", ms >= 100 ? 0 : 1, ms);
}

/* Lines at round numbers, four to ten of them. */
static void put_axis(const struct picture *p, const struct scale *scale, unsigned int wanted,
		     int height)
{
	double range = scale->end - scale->begin;
	double step = pow(10, floor(log10(range / wanted)));

	while (range / step > wanted * 2)
		step *= range / step > wanted * 5 ? 5 : 2;
	for (unsigned int i = 0; i * step <= range; i++) {
		double ms = i * step, x = position(scale, scale->begin + ms);
		const char *unit = range >= 1000 ? " s" : " ms";

		fprintf(p->out,
			"<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#ddd\"/>"
			"<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\" fill=\"#666\">",
			x, TOP - 4, x, height - BOTTOM + 4, x, TOP - 10);
		fprintf(p->out, "%g%s</text>\n", range >= 1000 ? ms / 1000 : ms, i ? unit : "");
	}
}

static void put_bar(const struct picture *p, enum timeline_phase phase, double begin, double end,
		    int y)
{
	const struct scale *scale = phase <= TIMELINE_PREPARE ? &p->prepare : &p->main;
	double x = position(scale, begin), width = position(scale, end) - x;

	fprintf(p->out,
		"<rect x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%d\" fill=\"%s\"><title>%s ", x,
		y, fmax(width, 0.75), BAR, colours[phase], timeline_phase_name(phase));
	put_duration(p->out, end - begin);
	fputs("</title></rect>\n", p->out);
}

static void put_vm(const struct picture *p, const json_t *vm, int y)
{
	const json_t *blackout = json_object_get(vm, "blackout-ms"), *entry;
	size_t i;

	fprintf(p->out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", LEFT - 10, y + 12);
	put_text(p->out, doc_string(vm, "id"), NAME_CHARS);
	fputs("</text>\n", p->out);
	json_array_foreach(json_object_get(vm, "timeline"), i, entry)
	{
		enum timeline_phase phase;
		double begin, end;

		if (read_entry(p, entry, &phase, &begin, &end))
			put_bar(p, phase, begin, end, y);
	}
	fprintf(p->out, "<text x=\"%d\" y=\"%d\"%s>", WIDTH - RIGHT + 12, y + 12,
		blackout ? " font-weight=\"bold\"" : " fill=\"#b00\"");
	if (blackout)
		put_duration(p->out, json_number_value(blackout));
	else
		put_text(p->out, doc_string(vm, "phase"), NAME_CHARS);
	fputs("</text>\n", p->out);
}

static void put_legend(const struct picture *p, int height)
{
	int x = LEFT, y = height - 26;

	for (unsigned int i = TIMELINE_PREPARE; i < TIMELINE_PHASE_MAX; i++) {
		const char *name = timeline_phase_name((enum timeline_phase)i);

		fprintf(p->out,
			"<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"12\" fill=\"%s\"/>"
			"<text x=\"%d\" y=\"%d\">%s</text>\n",
			x, y, colours[i], x + 17, y + 11, name);
		x += 34 + 8 * (int)strlen(name);
	}
}

static void put_head(const struct picture *p, int height)
{
	fprintf(p->out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\""
		" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n"
		"<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n"
		"<text x=\"16\" y=\"24\" font-size=\"15\" font-weight=\"bold\">Update ",
		WIDTH, height, WIDTH, height, WIDTH, height);
	put_text(p->out, doc_string(p->update, "id"), 36);
	fputs(": ", p->out);
	put_text(p->out, doc_string(p->update, "state"), 20);
	if (doc_string(p->update, "to")[0]) {
		fputs(", ", p->out);
		put_text(p->out, doc_string(p->update, "from"), 64);
		fputs(" → ", p->out);
		put_text(p->out, doc_string(p->update, "to"), 64);
	}
	fprintf(p->out,
		"</text>\n<text x=\"%d\" y=\"%d\" fill=\"#666\">guests run</text>"
		"<text x=\"%d\" y=\"%d\" fill=\"#666\">since the first freeze</text>"
		"<text x=\"%d\" y=\"%d\" fill=\"#666\">blackout</text>\n",
		LEFT, TOP - 26, MAIN_X, TOP - 26, WIDTH - RIGHT + 12, TOP - 10);
}

int timeline_svg(const json_t *update, FILE *out, struct error *err)
{
	struct picture p = {.out = out,
			    .update = update,
			    .vms = json_object_get(update, "vms"),
			    .khz = (double)doc_integer(update, "tsc-khz")};
	int count = (int)json_array_size(p.vms), height = TOP + ROW * count + BOTTOM;

	if (p.khz > 0)
		find_scales(&p);
	if (p.khz <= 0 || (!has_length(&p.prepare) && !has_length(&p.main)))
		return error_set(err, -ENODATA,
				 "update %s: no VM has a phase with begin and end to draw",
				 doc_string(update, "id"));
	put_head(&p, height);
	if (has_length(&p.prepare))
		put_axis(&p, &p.prepare, 1, height);
	if (has_length(&p.main))
		put_axis(&p, &p.main, 5, height);
	for (int i = 0; i < count; i++)
		put_vm(&p, json_array_get(p.vms, (size_t)i), TOP + ROW * i + (ROW - BAR) / 2);
	put_legend(&p, height);
	fputs("</svg>\n", out);
	return 0;
}
