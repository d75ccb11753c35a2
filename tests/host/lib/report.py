# SPDX-License-Identifier: Apache-2.0
"""What is printed, and kept for --json."""

import json
import re
import time
from pathlib import Path


# The result of a run that the emulation spoiled (docs/decisions/0004): neither passed nor failed, and run once more.
AGAIN = "again"


class Report:
    def __init__(self, name):
        self.name = name
        self.proved = []
        self.measured = []
        self.tables = []
        self.pictures = {}
        self.result = None
        self.why = None
        self.log = None
        self.begin = time.monotonic()

    def say(self, text):
        print(f"  {text}", flush=True)

    def prove(self, text):
        self.proved.append(text)
        self.say(f"proved: {text}")

    def measure(self, what, value, unit):
        self.measured.append({"what": what, "value": value, "unit": unit})
        shown = f"{value:.2f}" if isinstance(value, float) else value
        self.say(f"measured: {what}: {shown} {unit}")

    def table(self, name, head, rows, notes=()):
        """Prints a table of texts, with what is to be known of all of it; tools/bench --write-docs finds it by its name."""
        self.tables.append({"name": name, "head": head, "rows": rows, "notes": list(notes)})
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        for row in [head, *rows]:
            self.say("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
        for note in notes:
            self.say(f"({note})")

    def picture(self, name, svg):
        """Kept; tools/bench --write-docs puts it beside its page."""
        self.pictures[name] = svg

    def passed(self):
        self.result = "passed"
        print(f"{self.name}: passed in {time.monotonic() - self.begin:.0f} s", flush=True)

    def failed(self, why, log):
        self.ended("failed", "FAILED", why, log)

    def again(self, why, log):
        self.ended(AGAIN, "EMULATION FAULT, run once more (docs/decisions/0004)", why, log)

    def ended(self, result, said, why, log):
        self.result = result
        self.why = why
        self.log = str(log)
        print(f"{self.name}: {said} ({why}, log at {log})", flush=True)

    def as_json(self):
        return {
            "scenario": self.name,
            "result": self.result,
            "why": self.why,
            "log": self.log,
            "seconds": round(time.monotonic() - self.begin, 2),
            "proved": self.proved,
            "measured": self.measured,
            "tables": self.tables,
            "pictures": self.pictures,
        }


def write_json(path, accel, reports):
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"accelerator": accel.name, "scenarios": [r.as_json() for r in reports]}, out, indent=2)
        out.write("\n")


def write_docs(path, reports):
    """Puts the tables of these runs into a Markdown file, each between its marks, and the pictures that it shows beside it; the names of what
    found a place."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    written = []
    for table in (table for report in reports for table in report.tables):
        marks = re.compile(rf"(<!-- table: {re.escape(table['name'])} -->\n).*?(<!-- end of table -->)", re.S)
        text, count = marks.subn(lambda match: match[1] + markdown(table) + match[2], text)
        written += [table["name"]] * count
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    shown = ((name, svg) for report in reports for name, svg in report.pictures.items() if f"({name}.svg)" in text)
    for name, svg in shown:
        Path(path).with_name(f"{name}.svg").write_text(svg, encoding="utf-8")
        written.append(f"{name}.svg")
    return written


def markdown(table):
    lines = [table["head"], ["---"] * len(table["head"]), *table["rows"]]
    text = "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
    return text + "\n" + "".join(f"{note[0].upper()}{note[1:]}.\n" for note in table["notes"])
