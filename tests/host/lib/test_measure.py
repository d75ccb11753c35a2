#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is read from the kernel, and how rounds are compared."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = True

from lib import measure  # noqa: E402
from lib.report import Report, write_docs  # noqa: E402

SMAPS = """55d0c0000000-55d0c0010000 r-xp 00001000 00:01 17                         /usr/bin/vmm
Size:                 64 kB
Rss:                  60 kB
Pss:                  30 kB
VmFlags: rd ex mr mw me
7f0000000000-7f0010000000 rw-s 00000000 00:01 1025                       /memfd:ram (deleted)
Size:             262144 kB
Rss:              100000 kB
Pss:              100000 kB
7f0020000000-7f0020001000 rw-p 00000000 00:00 0
Size:                  4 kB
Rss:                   4 kB
Pss:                   4 kB
7f0030000000-7f0030001000 rw-p 00000000 00:00 0
Size:                  8 kB
Rss:                   8 kB
Pss:                   8 kB
"""


class Growth(unittest.TestCase):
    def test_a_steady_rise_is_found(self):
        self.assertEqual(measure.growth([100 + 4 * n for n in range(20)]), 60)
        self.assertEqual(measure.growth([7, 8]), 1)

    def test_one_out_of_line_is_none(self):
        self.assertEqual(measure.growth([5] * 9 + [900] + [5] * 9 + [900]), 0)

    def test_a_fall_is_negative(self):
        self.assertLess(measure.growth([9, 8, 7, 6, 5, 4, 3, 2]), 0)


class Smaps(unittest.TestCase):
    def test_all_but_the_ram(self):
        self.assertEqual(measure.beyond_ram(SMAPS, 262144), {"/usr/bin/vmm": 30, "[anonymous]": 12})

    def test_which_is_the_ram_must_be_clear(self):
        for ram in (131072, 4):
            with self.assertRaises(ValueError):
                measure.beyond_ram(SMAPS + SMAPS.replace("262144", "4"), ram)


class Statistics(unittest.TestCase):
    def test_lines(self):
        text = "./exits:120\n./mmu_rmaps_stat:0 1 2\nnonsense\n./io_exits:7\n"
        self.assertEqual(measure.statistics_of(text), {"exits": 120, "io_exits": 7})

    def test_difference(self):
        self.assertEqual(measure.difference({"a": 1}, {"a": 5, "b": 2}), {"a": 4, "b": 2})


class Rounds(unittest.TestCase):
    def compared(self, more, ours, one, two):
        compared = measure.Compared("x", "u", more)
        for side, values in (("ours", ours), ("one", one), ("two", two)):
            for number, value in enumerate(values, 1):
                if value is not None:
                    compared.add(side, number, value)
        return compared

    def test_ratio_of_each_round(self):
        compared = self.compared(True, [10, 20, 30], [5, 40, 10], [1, 1, 1])
        self.assertEqual(compared.ratio("ours", "one"), "2.00")
        self.assertEqual(compared.cell("ours"), "20.0 (10.0 to 30.0)")

    def test_verdict_is_against_the_best(self):
        self.assertEqual(self.compared(True, [10, 10], [5, 5], [9, 9]).verdict("ours", ["one", "two"]), "ahead")
        self.assertEqual(self.compared(True, [10, 10], [5, 5], [11, 12]).verdict("ours", ["one", "two"]), "behind")
        self.assertEqual(self.compared(True, [10, 10], [5, 5], [11, 9]).verdict("ours", ["one", "two"]), "level")
        self.assertEqual(self.compared(False, [10, 10], [5, 5], [11, 12]).verdict("ours", ["one", "two"]), "behind")
        self.assertEqual(self.compared(False, [4, 4], [5, 5], [11, 12]).verdict("ours", ["one", "two"]), "ahead")

    def test_rounds_are_compared_with_their_own(self):
        compared = self.compared(True, [10, 20, 30], [5, None, 10], [1, 1, 1])
        self.assertEqual(compared.ratio("ours", "one"), "2.50")
        self.assertEqual(self.compared(True, [10, 1, 10], [5, None, 5], [2, 2, 2]).verdict("ours", ["one", "two"]), "ahead")

    def test_what_is_missing_is_said(self):
        compared = self.compared(True, [], [5], [6])
        self.assertEqual(compared.verdict("ours", ["one", "two"]), "not measured")
        self.assertEqual((compared.cell("ours"), compared.ratio("ours", "one")), ("-", "-"))


class Goals(unittest.TestCase):
    def test_the_median_decides(self):
        row = measure.goal("small", [1, 9, 2], "%", lambda value: value < 5)
        self.assertEqual(row, ["small", "2.00 (1.00 to 9.00) %", "reached"])
        self.assertEqual(measure.goal("small", [9, 9, 2], "%", lambda value: value < 5)[2], "not reached")
        self.assertEqual(len(measure.GOAL_HEAD), len(row))

    def test_one_value_has_no_range_and_may_be_negative(self):
        self.assertEqual((measure.cell([-120]), measure.cell([-12.34]), measure.cell([0.5, 0.5])), ("-120", "-12.3", "0.50"))


class Tables(unittest.TestCase):
    def test_kept_for_json(self):
        report = Report("case")
        report.say = lambda text: None
        report.table("t", ["a", "b"], [["1", "2"]], ["a note"])
        kept = report.as_json()["tables"]
        self.assertEqual(kept, [{"name": "t", "head": ["a", "b"], "rows": [["1", "2"]], "notes": ["a note"]}])

    def test_written_between_the_marks(self):
        report = Report("case")
        report.say = lambda text: None
        report.table("t", ["", "b"], [["1", "x|y"]], ["a note"])
        report.table("elsewhere", ["a"], [["1"]])
        with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as file:
            file.write("before\n<!-- table: t -->\nold\n<!-- end of table -->\nafter\n<!-- table: u -->\nkept\n<!-- end of table -->\n")
            file.flush()
            self.assertEqual(write_docs(file.name, [report]), ["t"])
            text = Path(file.name).read_text(encoding="utf-8")
        table = "|  | b |\n| --- | --- |\n| 1 | x\\|y |\n\nA note.\n"
        self.assertEqual(
            text,
            f"before\n<!-- table: t -->\n{table}<!-- end of table -->\nafter\n<!-- table: u -->\nkept\n<!-- end of table -->\n",
        )

    def test_pictures_beside_the_page_that_shows_them(self):
        report = Report("case")
        report.picture("shown", "<svg/>")
        report.picture("elsewhere", "<svg/>")
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.md"
            page.write_text("![what it shows](shown.svg)\n", encoding="utf-8")
            self.assertEqual(write_docs(page, [report]), ["shown.svg"])
            self.assertEqual(sorted(path.name for path in page.parent.iterdir()), ["page.md", "shown.svg"])


if __name__ == "__main__":
    unittest.main()
