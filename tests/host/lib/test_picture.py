#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The pictures of tools/bench: well-formed, nothing outside of the frame, lengths in proportion."""

import sys
import unittest
import xml.etree.ElementTree as tree
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib import picture  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


def rects(root):
    return [each for each in root.iter(f"{SVG}rect") if each.find(f"{SVG}title") is not None]


class Bars(unittest.TestCase):
    def setUp(self):
        self.rows = [("a <1>", {"freeze": 10.0, "kexec": 100.0}), ("b", {"save": 55.0, "kexec": 110.0})]
        self.root = tree.fromstring(picture.bars("title & more", "ms", self.rows))

    def test_lengths(self):
        widths = [float(each.get("width")) for each in rects(self.root)]
        self.assertEqual(len(widths), 4)
        for width, value in zip(widths, (10, 100, 55, 110)):
            self.assertAlmostEqual(width / widths[3], value / 110, places=2)

    def test_stacked(self):
        first, second = rects(self.root)[:2]
        self.assertAlmostEqual(float(first.get("x")) + float(first.get("width")), float(second.get("x")), places=0)

    def test_inside(self):
        frame = [float(number) for number in self.root.get("viewBox").split()]
        for each in self.root.iter(f"{SVG}rect"):
            self.assertLessEqual(float(each.get("x", 0)) + float(each.get("width")), frame[2])
            self.assertLessEqual(float(each.get("y", 0)) + float(each.get("height")), frame[3])

    def test_one_colour_for_one_part(self):
        kexec = [each.get("fill") for each in rects(self.root) if each.find(f"{SVG}title").text.startswith("kexec")]
        self.assertEqual(len(set(kexec)), 1)
        self.assertEqual(len({each.get("fill") for each in rects(self.root)}), 3)

    def test_as_many_colours_as_the_blackout_has_parts(self):
        root = tree.fromstring(picture.bars("t", "ms", [("a", {f"part {number}": 1.0 for number in range(10)})]))
        self.assertEqual(len({each.get("fill") for each in rects(root)}), 10)

    def test_words(self):
        words = [each.text for each in self.root.iter(f"{SVG}text")]
        for text in ("title & more", "a <1>", "110 ms", "165 ms"):
            self.assertIn(text, words)


if __name__ == "__main__":
    unittest.main()
