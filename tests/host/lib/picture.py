# SPDX-License-Identifier: Apache-2.0
"""Bars of stacked parts, as SVG: no program needed to make it or to look at it."""

from xml.sax.saxutils import escape

WIDTH, LABELS, BAR, GAP, MARGIN = 900, 210, 18, 8, 12
# Readable side by side also by those who do not tell red from green (Okabe and Ito, and two of Tol's).
COLOURS = ("#0072b2", "#bbbbbb", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#882255", "#999933")


def bars(title, unit, rows):
    """rows: (label, {part: value}); a part has the same colour in all of them, in the order in which parts first appear."""
    parts = list(dict.fromkeys(part for _, values in rows for part in values))
    longest = max(sum(values.values()) for _, values in rows)
    scale = (WIDTH - LABELS - 100) / longest
    top = 60
    height = top + len(rows) * (BAR + GAP) + MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{MARGIN}" y="20" font-size="14" font-weight="bold">{escape(title)}</text>',
        *legend(parts),
    ]
    for number, (label, values) in enumerate(rows):
        out += bar(label, values, parts, unit, top + number * (BAR + GAP), scale)
    return "\n".join([*out, "</svg>", ""])


def colour(parts, part):
    return COLOURS[parts.index(part) % len(COLOURS)]


def legend(parts):
    x = MARGIN
    for part in parts:
        yield f'<rect x="{x}" y="32" width="12" height="12" fill="{colour(parts, part)}"/><text x="{x + 16}" y="42">{escape(part)}</text>'
        x += 32 + 8 * len(part)


def bar(label, values, parts, unit, y, scale):
    x = LABELS
    middle = y + BAR - 5
    yield f'<text x="{LABELS - 8}" y="{middle}" text-anchor="end">{escape(label)}</text>'
    for part, value in values.items():
        width = max(0.0, value * scale)
        yield (
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour(parts, part)}">'
            f"<title>{escape(part)}: {value:.0f} {escape(unit)}</title></rect>"
        )
        x += width
    yield f'<text x="{x + 6:.1f}" y="{middle}">{sum(values.values()):.0f} {escape(unit)}</text>'
